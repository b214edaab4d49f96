//! Where a request goes, below the base URL.

use crate::settings::{Route, Settings};

/// Path and query of a route. `model` is part of it on Azure's older routes only.
pub(crate) fn path(settings: &Settings, route: Route, model: &str) -> String {
    let route_path = match route {
        Route::Chat => settings.path.as_str(),
        Route::Completions => "/completions",
        Route::Responses => "/responses",
        Route::Embeddings => "/embeddings",
    };
    let mut path = String::new();
    // The newer route of the same API names the deployment in the body.
    if settings.deployment_paths && route != Route::Responses {
        path.push_str("/deployments/");
        push_segment(model, &mut path);
    }
    path.push_str(route_path);
    if let Some(version) = &settings.api_version {
        path.push_str(if path.contains('?') { "&" } else { "?" });
        path.push_str("api-version=");
        path.push_str(version);
    }
    path
}

/// RFC 3986: everything but unreserved characters is escaped.
fn push_segment(text: &str, path: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
}
