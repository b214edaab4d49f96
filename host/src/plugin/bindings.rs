//! Types and call stubs that wasmtime generates from `wit/`. No hand-written code.
//!
//! `host` holds what all kinds import; the other modules hold one kind's exports each and
//! share the types of `host`.

pub(super) mod host {
    wasmtime::component::bindgen!({
        inline: "
            package torana:gateway;
            world imports {
                import torana:types/types@0.1.0;
                import torana:host/log@0.1.0;
                import torana:host/clock@0.1.0;
                import torana:host/random@0.1.0;
                import torana:host/http@0.1.0;
                import torana:host/sql@0.1.0;
                import torana:host/file@0.1.0;
                import torana:host/kv@0.1.0;
            }
        ",
        path: ["../wit/types", "../wit/host"],
        world: "torana:gateway/imports",
        imports: {
            "torana:host/http": async,
            "torana:host/sql": async,
            "torana:host/file": async,
        },
    });
}

pub(super) mod provider {
    wasmtime::component::bindgen!({
        inline: "package torana:gateway; world provider { export torana:provider/adapter@0.1.0; }",
        path: ["../wit/types", "../wit/host", "../wit/provider"],
        world: "torana:gateway/provider",
        with: { "torana:types/types@0.1.0": super::host::torana::types::types },
    });
}

pub(super) mod router {
    wasmtime::component::bindgen!({
        inline: "package torana:gateway; world router { export torana:router/policy@0.1.0; }",
        path: ["../wit/types", "../wit/host", "../wit/router"],
        world: "torana:gateway/router",
        with: { "torana:types/types@0.1.0": super::host::torana::types::types },
    });
}

pub(super) mod experiment {
    wasmtime::component::bindgen!({
        inline: "package torana:gateway; world experiment { export torana:experiment/allocator@0.1.0; }",
        path: ["../wit/types", "../wit/host", "../wit/experiment"],
        world: "torana:gateway/experiment",
        with: { "torana:types/types@0.1.0": super::host::torana::types::types },
    });
}

pub(super) mod sink {
    wasmtime::component::bindgen!({
        inline: "package torana:gateway; world sink { export torana:sink/delivery@0.1.0; }",
        path: ["../wit/types", "../wit/host", "../wit/sink"],
        world: "torana:gateway/sink",
        exports: { default: async },
        with: { "torana:types/types@0.1.0": super::host::torana::types::types },
    });
}

pub(super) mod query {
    wasmtime::component::bindgen!({
        inline: "package torana:gateway; world query { export torana:sink/query@0.1.0; }",
        path: ["../wit/types", "../wit/host", "../wit/sink"],
        world: "torana:gateway/query",
        exports: { default: async },
        with: { "torana:types/types@0.1.0": super::host::torana::types::types },
    });
}
