//! Feedback: recorded for what it is about, and refused with a word where it fits nothing.

use serde_json::{Value, json};
use torana_tests::client::{Reply, Request};
use torana_tests::gateway::{Config, Folder, Gateway};

use crate::setup::SINK;

/// Of the right form.
const NEVER_SEEN: &str = "0197c0de-0000-7000-8000-000000000000";

fn config() -> Config {
    let tables = "[providers.sim]\n\
         [metrics.solved]\ntype = \"boolean\"\n\
         [metrics.rating]\ntype = \"float\"\nlevel = \"episode\"\n\
         [functions.greet.variants.only]\nmodel = \"sim/demo\"\n";
    Config::new(tables).and(SINK)
}

fn call() -> Request {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    let body = json!({ "model": "function::greet", "messages": messages });
    Request::post("/v1/chat/completions", &body)
}

fn give(gateway: &Gateway, body: &Value) -> Reply {
    gateway.send(&Request::post("/v1/feedback", body))
}

#[test]
fn feedback_is_found_with_the_inference_it_is_about() {
    let gateway = Gateway::start(&config());
    let reply = gateway.send(&call()).expect(200);
    let id = reply.only_header("x-torana-inference-id");
    let episode = reply.only_header("x-torana-episode-id");
    let about = json!({ "inference_id": id });
    let given = [
        json!({ "metric_name": "solved", "inference_id": id, "value": true, "tags": { "by": "ann" } }),
        json!({ "metric_name": "comment", "inference_id": id, "value": "well done" }),
        json!({ "metric_name": "demonstration", "inference_id": id, "value": "hello back" }),
        json!({ "metric_name": "rating", "episode_id": episode, "value": 0.5 }),
    ];
    let ids: Vec<Value> = given
        .iter()
        .map(|body| give(&gateway, body).expect(200).json()["feedback_id"].clone())
        .collect();
    let dry =
        json!({ "metric_name": "solved", "inference_id": id, "value": false, "dryrun": true });
    give(&gateway, &dry).expect(200);

    let stored = gateway.inference(id);
    let feedback = stored["feedback"].as_array().unwrap();
    let found: Vec<&Value> = feedback.iter().map(|row| &row["id"]).collect();
    assert_eq!(found, ids.iter().collect::<Vec<_>>(), "{stored:#}");
    for (row, body) in feedback.iter().zip(&given) {
        assert_eq!(row["metric"], body["metric_name"]);
        assert_eq!(row["value"], body["value"]);
        assert_eq!(row["episode_id"], episode);
        assert_eq!((&row["function"], &row["variant"]), (&json!("greet"), &json!("only")));
    }
    assert_eq!(feedback[0]["inference_id"], about["inference_id"]);
    assert_eq!(feedback[0]["tags"], json!({ "by": "ann" }));
    assert_eq!(feedback[3]["target"], "episode");
}

#[test]
fn feedback_that_fits_nothing_is_refused_by_name() {
    let gateway = Gateway::start(&config());
    let reply = gateway.send(&call()).expect(200);
    let id = reply.only_header("x-torana-inference-id");
    let episode = reply.only_header("x-torana-episode-id");
    for (body, status, words) in [
        (json!({ "metric_name": "solved", "inference_id": id, "value": 1 }), 400, "true or false"),
        (json!({ "metric_name": "rating", "episode_id": episode, "value": "5" }), 400, "a number"),
        (json!({ "metric_name": "rating", "inference_id": id, "value": 5 }), 400, "episodes"),
        (
            json!({ "metric_name": "solved", "episode_id": episode, "value": true }),
            400,
            "inferences",
        ),
        (json!({ "metric_name": "sovled", "inference_id": id, "value": true }), 400, "solved"),
        (json!({ "metric_name": "solved", "value": true }), 400, "either"),
        (json!({ "metric_name": "comment", "inference_id": id, "value": 7 }), 400, "text"),
        (
            json!({ "metric_name": "demonstration", "episode_id": episode, "value": "x" }),
            400,
            "one answer",
        ),
        (
            json!({ "metric_name": "solved", "inference_id": id, "value": true, "tags": { "a": 1 } }),
            400,
            "tags",
        ),
        (
            json!({ "metric_name": "solved", "inference_id": NEVER_SEEN, "value": true }),
            404,
            NEVER_SEEN,
        ),
        (json!({ "metric_name": "rating", "episode_id": NEVER_SEEN, "value": 1 }), 404, NEVER_SEEN),
    ] {
        let reply = give(&gateway, &body).expect(status);
        assert!(reply.message().contains(words), "{body}: {}", reply.message());
    }
    assert_eq!(gateway.inference(id)["feedback"], json!([]));
}

#[test]
fn a_key_gives_feedback_on_what_it_was_given_itself() {
    let keys = "[keys.ann]\nsecret = \"env:ANN\"\n[keys.bob]\nsecret = \"env:BOB\"\n";
    let folder = Folder::new(&config().and(keys));
    let gateway = Gateway::start_in(folder, &[("ANN", "ann-secret"), ("BOB", "bob-secret")]);
    let of = |key: &str, request: Request| {
        gateway.send(&request.header("authorization", &format!("Bearer {key}-secret")))
    };
    let reply = of("ann", call()).expect(200);
    let id = reply.only_header("x-torana-inference-id");
    let body = json!({ "metric_name": "solved", "inference_id": id, "value": true });
    of("bob", Request::post("/v1/feedback", &body)).expect(404);
    of("ann", Request::post("/v1/feedback", &body)).expect(200);
}

#[test]
fn without_a_store_to_ask_feedback_is_taken_on_trust() {
    let tables = "[providers.sim]\n[sinks.lines]\nplugin = \"sink-jsonl\"\n\
         settings = { path = \"rows.jsonl\" }\n";
    let mut gateway = Gateway::start(&Config::new(tables));
    let body = json!({ "metric_name": "comment", "inference_id": NEVER_SEEN, "value": "fine" });
    give(&gateway, &body).expect(200);
    gateway.signal(torana_tests::gateway::Signal::TERM);
    assert_eq!(gateway.wait_for_end(std::time::Duration::from_secs(20)), 0);
    let lines = std::fs::read_to_string(gateway.folder.path("rows.jsonl")).unwrap();
    let mut rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let row = rows.find(|row| row["kind"] == "feedback").unwrap();
    assert_eq!(row["row"]["value"], json!("fine"));
}
