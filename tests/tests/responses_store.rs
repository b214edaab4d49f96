//! Responses that outlive their call: a conversation that goes on by `previous_response_id` at
//! endpoints which know no such thing, and the responses themselves, read back.

use serde_json::{Value, json};
use torana_tests::anthropic;
use torana_tests::client::{Reply, Request};
use torana_tests::dialects::{self, Dialect, PROVIDERS_RESPONSE};
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;

use crate::setup::SINK;

/// Endpoints that know no responses: translated to.
const TRANSLATED: [&str; 2] = ["chat", "claude"];

/// The models `chat` and `claude`, which are translated to, `openai`, which has the route
/// itself, and `either`, which is `chat` first.
fn tables(provider: &Provider) -> String {
    let url = provider.url();
    let wires = "settings = { wires = [\"chat\", \"responses\"] }";
    format!(
        "[providers.openai]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\n{wires}\n\
         [providers.claude]\nplugin = \"provider-anthropic\"\nbase_url = \"{url}\"\n\
         [providers.chat]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\nforward = false\n\
         [models.openai]\nendpoints = [\"openai/scripted\"]\n\
         [models.claude]\nendpoints = [\"claude/scripted\"]\n\
         [models.chat]\nendpoints = [\"chat/scripted\"]\n\
         [models.either]\nrouter = \"priority\"\nendpoints = [\"chat/scripted\", \"openai/scripted\"]\n"
    )
}

fn start(provider: &Provider) -> Gateway {
    Gateway::start(&Config::new(tables(provider)).and(SINK))
}

/// Repeats the last thing that it was told.
fn echo(asked: &Asked) -> Script {
    let body = asked.json();
    let turns = body["messages"].as_array().unwrap();
    let said = format!("re: {}", text_of(turns.last().unwrap()));
    if asked.path.ends_with("/messages") {
        return anthropic::respond(asked, &[anthropic::text(&said)]);
    }
    openai::respond_with(asked, &said)
}

/// The text of a turn, whose content is a string or a list of parts.
fn text_of(turn: &Value) -> String {
    let parts = turn["content"].as_array().into_iter().flatten();
    let texts = parts.map(|part| &part["text"]).chain([&turn["content"]]);
    texts.filter_map(Value::as_str).collect()
}

/// Who said what, as the upstream was told.
fn conversation(asked: &Asked) -> Vec<(String, String)> {
    let body = asked.json();
    let turns = body["messages"].as_array().unwrap().iter();
    turns.map(|turn| (turn["role"].as_str().unwrap().to_owned(), text_of(turn))).collect()
}

fn question(model: &str, input: &Value, previous: Option<&str>) -> Value {
    let mut body = json!({ "model": model, "input": input });
    if let Some(previous) = previous {
        body["previous_response_id"] = json!(previous);
    }
    body
}

/// Asks and gives the response as the client has it in the end.
#[track_caller]
fn respond(gateway: &Gateway, body: &Value, stream: bool) -> Value {
    let mut body = body.clone();
    if !stream {
        return gateway.send(&Request::post("/v1/responses", &body)).expect(200).json();
    }
    body["stream"] = json!(true);
    let (events, _) = Request::post("/v1/responses", &body).stream(gateway.address()).rest();
    let events: Vec<Value> =
        events.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed", "{events:#?}");
    let begun = &events[0]["response"]["id"];
    assert_eq!(*begun, last["response"]["id"], "one response has one id");
    last["response"].clone()
}

fn id_of(response: &Value) -> &str {
    response["id"].as_str().unwrap_or_else(|| panic!("no id: {response:#}"))
}

#[track_caller]
fn expect_unknown(reply: Reply, id: &str) -> String {
    let reply = reply.expect(404);
    assert_eq!(reply.error("code"), "response_not_found", "{reply}");
    assert!(reply.message().contains(id), "{reply}");
    reply.message()
}

fn get(gateway: &Gateway, id: &str) -> Reply {
    gateway.get(&format!("/v1/responses/{id}"))
}

#[test]
fn a_conversation_stays_one_episode_over_its_turns() {
    let provider = Provider::start(echo);
    let gateway = start(&provider);
    let ask = |model: &str, previous: Option<&str>, episode: Option<&str>| {
        let mut request = Request::post("/v1/responses", &question(model, &json!("so"), previous));
        if let Some(episode) = episode {
            request = request.header("x-torana-episode-id", episode);
        }
        let reply = gateway.send(&request).expect(200);
        (id_of(&reply.json()).to_owned(), reply.only_header("x-torana-episode-id").to_owned())
    };
    for model in TRANSLATED {
        let (first, episode) = ask(model, None, None);
        let (second, same) = ask(model, Some(&first), None);
        let (third, still) = ask(model, Some(&second), None);
        assert_eq!([&same, &still], [&episode; 2], "{model}");
        // Who names an episode is believed.
        let named = "01890a5d-ac96-774b-bcce-b302099a8057";
        let (_, own) = ask(model, Some(&third), Some(named));
        assert_eq!(own, named, "{model}");
        let (_, other) = ask(model, None, None);
        assert_ne!(other, episode, "{model}: another conversation");
    }
}

#[test]
fn conversation_goes_on_by_its_last_response_for_three_turns() {
    let provider = Provider::start(echo);
    let gateway = start(&provider);
    for model in TRANSLATED {
        // Whole, streamed, and both in turn.
        for streams in [[false; 3], [true; 3], [false, true, false], [true, false, true]] {
            provider.forget();
            let mut previous: Option<String> = None;
            for (turn, stream) in streams.into_iter().enumerate() {
                let input = json!(format!("question {turn}"));
                // At once, as clients do: nothing waits for the store in between.
                let body = question(model, &input, previous.as_deref());
                let response = respond(&gateway, &body, stream);
                assert!(id_of(&response).starts_with("resp_"), "{response:#}");
                previous = Some(id_of(&response).to_owned());
            }
            let said = |role: &str, text: &str| (role.to_owned(), text.to_owned());
            let expected = [
                said("user", "question 0"),
                said("assistant", "re: question 0"),
                said("user", "question 1"),
                said("assistant", "re: question 1"),
                said("user", "question 2"),
            ];
            let asked = provider.asked();
            assert_eq!(asked.len(), 3);
            for (asked, upto) in asked.iter().zip([1, 3, 5]) {
                assert_eq!(conversation(asked), expected[..upto], "{model}, {streams:?}");
                assert!(!asked.text().contains("previous_response_id"), "{}", asked.text());
                assert_eq!(asked.json().get("store"), None, "{}", asked.text());
            }
        }
    }
}

#[test]
fn conversation_branches_where_two_questions_follow_one_response() {
    let provider = Provider::start(echo);
    let gateway = start(&provider);
    let first = respond(&gateway, &question("chat", &json!("root"), None), false);
    for branch in ["left", "right"] {
        provider.forget();
        let body = question("chat", &json!(branch), Some(id_of(&first)));
        respond(&gateway, &body, false);
        let texts: Vec<String> =
            conversation(&provider.only_asked()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["root", "re: root", branch]);
    }
}

#[test]
fn instructions_are_those_of_the_turn_and_not_of_the_one_before() {
    let provider = Provider::start(echo);
    let gateway = start(&provider);
    let mut body = question("chat", &json!("one"), None);
    body["instructions"] = json!("be brief");
    let first = respond(&gateway, &body, false);
    let mut body = question("chat", &json!("two"), Some(id_of(&first)));
    body["instructions"] = json!("be kind");
    respond(&gateway, &body, false);
    let second = provider.asked().pop().unwrap();
    assert!(second.text().contains("be kind"), "{}", second.text());
    assert!(!second.text().contains("be brief"), "{}", second.text());
}

#[test]
fn result_of_a_tool_finds_the_call_that_the_response_before_made() {
    let provider = Provider::start(|asked| match asked.text().contains("sunny") {
        true => openai::respond(asked),
        false => openai::respond_with_tools(asked),
    });
    let gateway = start(&provider);
    for stream in [false, true] {
        provider.forget();
        let body = Dialect::Responses.with_tool(question("chat", &json!("weather?"), None));
        let first = respond(&gateway, &body, stream);
        let calls: Vec<&Value> = first["output"].as_array().unwrap().iter().collect();
        assert_eq!(calls.len(), 2, "{first:#}");
        let results: Vec<Value> = calls
            .iter()
            .map(|call| {
                json!({ "type": "function_call_output", "call_id": call["call_id"],
                        "output": "sunny" })
            })
            .collect();
        let body = question("chat", &json!(results), Some(id_of(&first)));
        respond(&gateway, &Dialect::Responses.with_tool(body), stream);
        let asked = provider.asked().pop().unwrap().json();
        let turns = asked["messages"].as_array().unwrap();
        let roles: Vec<&Value> = turns.iter().map(|turn| &turn["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool"], "{asked:#}");
        for (position, id) in ["call_1", "call_2"].into_iter().enumerate() {
            let call = &turns[1]["tool_calls"][position];
            assert_eq!((&call["id"], &call["function"]["name"]), (&json!(id), &json!("weather")));
            assert_eq!(turns[2 + position]["tool_call_id"], id, "{asked:#}");
        }
    }
}

#[test]
fn conversation_moves_to_an_endpoint_that_has_the_route_itself() {
    let provider = Provider::start(|asked| match asked.path.ends_with("/responses") {
        true => dialects::respond(asked),
        false => echo(asked),
    });
    let gateway = start(&provider);
    let first = respond(&gateway, &question("chat", &json!("one"), None), false);
    provider.forget();
    let second = respond(&gateway, &question("openai", &json!("two"), Some(id_of(&first))), false);
    assert_eq!(id_of(&second), PROVIDERS_RESPONSE, "this one lives at the provider");
    let asked = provider.only_asked();
    assert_eq!(asked.path, "/v1/responses");
    let body = asked.json();
    assert_eq!(body.get("previous_response_id"), None, "{body:#}");
    let items = body["input"].as_array().unwrap();
    let said: Vec<(&Value, String)> = items.iter().map(|it| (&it["role"], text_of(it))).collect();
    let expected = [("user", "one"), ("assistant", "re: one"), ("user", "two")];
    let expected = expected.map(|(role, text)| (json!(role), text.to_owned()));
    let expected: Vec<(&Value, String)> =
        expected.iter().map(|(role, text)| (role, text.clone())).collect();
    assert_eq!(said, expected, "{body:#}");
}

#[test]
fn response_is_read_back_as_it_was_given() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    for model in TRANSLATED {
        for stream in [false, true] {
            let mut body = question(model, &json!("hello"), None);
            body["temperature"] = json!(0.5);
            body["metadata"] = json!({ "team": "search" });
            let given = respond(&gateway, &body, stream);
            provider.forget();
            for prefix in ["/v1", "/openai/v1"] {
                let path = format!("{prefix}/responses/{}", id_of(&given));
                let mut read = gateway.get(&path).expect(200).json();
                let text = &read["output"][0]["content"][0]["text"];
                assert_eq!(*text, TEXT, "{read:#}");
                // Whole seconds of two clock readings: the call's and the answer's.
                let seconds = |response: &Value| response["created_at"].as_u64().unwrap();
                assert!(seconds(&read).abs_diff(seconds(&given)) < 60, "{read:#}");
                read["created_at"] = given["created_at"].clone();
                assert_eq!(read, given, "{model}, stream {stream}");
            }
            assert!(provider.asked().is_empty(), "it is served from the store");
        }
    }
}

#[test]
fn response_names_the_one_that_it_follows() {
    let provider = Provider::start(echo);
    let gateway = start(&provider);
    let first = respond(&gateway, &question("chat", &json!("one"), None), false);
    assert_eq!(first["previous_response_id"], Value::Null);
    for stream in [false, true] {
        let body = question("chat", &json!("two"), Some(id_of(&first)));
        let second = respond(&gateway, &body, stream);
        assert_eq!(second["previous_response_id"], id_of(&first), "stream {stream}: {second:#}");
        let read = get(&gateway, id_of(&second)).expect(200).json();
        assert_eq!(read["previous_response_id"], id_of(&first), "read back: {read:#}");
    }
}

#[test]
fn response_that_was_not_to_be_stored_is_not_there() {
    let provider = Provider::start(echo);
    let gateway = start(&provider);
    for stream in [false, true] {
        let mut body = question("chat", &json!("secret"), None);
        body["store"] = json!(false);
        let given = respond(&gateway, &body, stream);
        expect_unknown(get(&gateway, id_of(&given)), id_of(&given));
        expect_no_turn_after(&gateway, &provider, id_of(&given));
    }
}

/// The id names nothing that a conversation could go on from.
#[track_caller]
fn expect_no_turn_after(gateway: &Gateway, provider: &Provider, id: &str) {
    provider.forget();
    for stream in [false, true] {
        let mut body = question("chat", &json!("and then?"), Some(id));
        body["stream"] = json!(stream);
        let reply = gateway.send(&Request::post("/v1/responses", &body));
        assert_eq!(reply.error("param"), "previous_response_id", "{reply}");
        let row = reply.only_header("x-torana-inference-id").to_owned();
        expect_unknown(reply, id);
        assert_eq!(gateway.inference(&row)["error"]["code"], "response_not_found");
    }
    assert!(provider.asked().is_empty(), "half a conversation is no question");
}

#[test]
fn id_of_ours_that_nobody_was_given_is_not_found() {
    let provider = Provider::start(echo);
    let gateway = start(&provider);
    let given = respond(&gateway, &question("chat", &json!("hello"), None), false);
    let mut id = id_of(&given).to_owned();
    let last = if id.pop() == Some('0') { '1' } else { '0' };
    id.push(last);
    expect_unknown(get(&gateway, &id), &id);
    expect_no_turn_after(&gateway, &provider, &id);
}

#[test]
fn call_that_failed_or_was_in_another_dialect_is_no_response() {
    let provider = Provider::start(|asked| match asked.text().contains("fail") {
        true => Script::json(400, &openai::error("no", "invalid_request_error", "no")),
        false => echo(asked),
    });
    let gateway = start(&provider);
    let failing = question("chat", &json!("fail"), None);
    let failed = gateway.send(&Request::post("/v1/responses", &failing)).expect(400);
    let chat = gateway.chat(&openai::chat("chat")).expect(200);
    for reply in [failed, chat] {
        let inference = reply.only_header("x-torana-inference-id");
        gateway.inference(inference);
        let id = format!("resp_{}", inference.replace('-', ""));
        expect_unknown(get(&gateway, &id), &id);
        expect_no_turn_after(&gateway, &provider, &id);
    }
}

#[test]
fn providers_own_id_reaches_an_endpoint_that_has_the_route_unchanged() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    for stream in [false, true] {
        provider.forget();
        let body = format!(
            "{{ \"previous_response_id\" : \"{PROVIDERS_RESPONSE}\", \"model\": \"openai\", \
             \"stream\": {stream}, \"input\" :\"and then?\" }}"
        );
        let request = Request::post_bytes("/v1/responses", body.clone());
        request.stream(gateway.address()).into_reply().unwrap().expect(200);
        assert_eq!(provider.only_asked().text(), body.replace("\"openai\"", "\"scripted\""));
    }
}

#[test]
fn providers_own_id_is_refused_where_it_means_nothing() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    for (model, endpoint) in [("chat", "chat/scripted"), ("claude", "claude/scripted")] {
        for stream in [false, true] {
            let mut body = question(model, &json!("and then?"), Some(PROVIDERS_RESPONSE));
            body["stream"] = json!(stream);
            let reply = gateway.send(&Request::post("/v1/responses", &body)).expect(400);
            assert_eq!(reply.error("code"), "unsupported_feature", "{reply}");
            assert!(reply.message().contains(endpoint), "{reply}");
            assert!(reply.message().contains("previous_response_id"), "{reply}");
        }
    }
    assert!(provider.asked().is_empty(), "half a conversation is no question");
}

#[test]
fn providers_own_id_finds_the_endpoint_that_takes_it() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let body = question("either", &json!("and then?"), Some(PROVIDERS_RESPONSE));
    let reply = gateway.send(&Request::post("/v1/responses", &body)).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "openai/scripted");
    let asked = provider.only_asked();
    assert_eq!(asked.path, "/v1/responses");
    assert_eq!(asked.json()["previous_response_id"], PROVIDERS_RESPONSE);
}

#[test]
fn nothing_is_served_from_a_record_without_content() {
    let provider = Provider::start(echo);
    let config = Config::new(tables(&provider)).and(SINK);
    let gateway = Gateway::start(&config.and("[journal]\ncontent = \"metadata\""));
    let given = respond(&gateway, &question("chat", &json!("hello"), None), false);
    let message = expect_unknown(get(&gateway, id_of(&given)), id_of(&given));
    assert!(message.contains("content is not kept"), "it says why: {message}");
    expect_no_turn_after(&gateway, &provider, id_of(&given));
}

#[test]
fn gateway_without_a_store_says_so() {
    let provider = Provider::start(echo);
    let gateway = Gateway::start(&Config::new(tables(&provider)));
    let given = respond(&gateway, &question("chat", &json!("hello"), None), false);
    provider.forget();
    let next = question("chat", &json!("and then?"), Some(id_of(&given)));
    let replies =
        [get(&gateway, id_of(&given)), gateway.send(&Request::post("/v1/responses", &next))];
    for reply in replies {
        let reply = reply.expect(501);
        assert_eq!(reply.error("code"), "no_query_sink", "{reply}");
        assert!(reply.message().contains("sink-sqlite"), "{reply}");
    }
    assert!(provider.asked().is_empty());
}
