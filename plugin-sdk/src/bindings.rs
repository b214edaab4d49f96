//! What wit-bindgen makes of `wit/`: one module per kind of plugin, and `host` for all.
//!
//! The shared types and the host's capabilities are generated once, in `host`; the kinds
//! point there. A component imports only the capabilities that its code calls: whatever is
//! unused falls away when it is linked, so this crate may name them all and a plugin's
//! imports are its true needs. Nothing but the SDK and its export macros uses this module.

/// The shared types and the host's capabilities.
pub mod host {
    wit_bindgen::generate!({
        inline: "
            package torana:sdk@0.1.0;

            world host {
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
        additional_derives: [PartialEq, Clone],
        generate_unused_types: true,
        generate_all,
    });

    pub use torana::host::{clock, file, http, kv, log, random, sql};
    pub use torana::types::types;
}

/// Exports of a provider.
pub mod provider {
    wit_bindgen::generate!({
        inline: "
            package torana:sdk-provider@0.1.0;

            world provider {
                export torana:provider/adapter@0.1.0;
            }
        ",
        path: ["../wit/types", "../wit/host", "../wit/provider"],
        with: { "torana:types/types@0.1.0": crate::bindings::host::torana::types::types },
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}

/// Exports of a router.
pub mod router {
    wit_bindgen::generate!({
        inline: "
            package torana:sdk-router@0.1.0;

            world router {
                export torana:router/policy@0.1.0;
            }
        ",
        path: ["../wit/types", "../wit/host", "../wit/router"],
        with: { "torana:types/types@0.1.0": crate::bindings::host::torana::types::types },
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}

/// Exports of an experiment.
pub mod experiment {
    wit_bindgen::generate!({
        inline: "
            package torana:sdk-experiment@0.1.0;

            world experiment {
                export torana:experiment/allocator@0.1.0;
            }
        ",
        path: ["../wit/types", "../wit/host", "../wit/experiment"],
        with: { "torana:types/types@0.1.0": crate::bindings::host::torana::types::types },
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}

/// Exports of a sink.
pub mod sink {
    wit_bindgen::generate!({
        inline: "
            package torana:sdk-sink@0.1.0;

            world sink {
                export torana:sink/delivery@0.1.0;
            }
        ",
        path: ["../wit/types", "../wit/host", "../wit/sink"],
        with: { "torana:types/types@0.1.0": crate::bindings::host::torana::types::types },
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}

/// What a queryable sink exports beside `sink`: the linker unites both worlds.
pub mod sink_query {
    wit_bindgen::generate!({
        inline: "
            package torana:sdk-sink-query@0.1.0;

            world sink-query {
                export torana:sink/query@0.1.0;
            }
        ",
        path: ["../wit/types", "../wit/host", "../wit/sink"],
        with: { "torana:types/types@0.1.0": crate::bindings::host::torana::types::types },
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}
