//! Structured output at endpoints that can do it, and at those that cannot: the client gets
//! JSON as its own dialect gives it, or is told that it does not fit.

use serde_json::{Value, json};
use torana_tests::client::{Reply, Request};
use torana_tests::dialects::Dialect;
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai;
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::{Gate, Script};

use crate::setup::SINK;

/// What an endpoint has itself, by the name of the setting, which is the model's too.
const WAYS: [&str; 4] = ["json-schema", "tool", "json-object", "prompt"];

/// Those that the gateway has to rewrite for.
const ROUNDABOUT: [&str; 3] = ["tool", "json-object", "prompt"];

const INVALID: &str = "x-torana-invalid-output";

/// `forwarded` passes bodies on; the others are translated to.
fn start(provider: &Provider, tables: &str) -> Gateway {
    let url = provider.url();
    let mut config = format!(
        "[providers.forwarded]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\n\
         [models.forwarded]\nendpoints = [\"forwarded/scripted\"]\n"
    );
    for way in WAYS {
        config.push_str(&format!(
            "[providers.{way}]\nplugin = \"provider-openai\"\nbase_url = \"{url}\"\n\
             forward = false\nsettings = {{ structured_output = \"{way}\" }}\n\
             [models.{way}]\nendpoints = [\"{way}/scripted\"]\n"
        ));
    }
    Gateway::start(&Config::new(config).and(SINK).and(tables))
}

fn schema() -> Value {
    json!({ "type": "object", "required": ["city", "degrees"], "additionalProperties": false,
            "properties": { "city": { "type": "string" }, "degrees": { "type": "integer" } } })
}

/// What fits [`schema`].
const FITTING: &str = r#"{"city":"Zürich {old} \"town\"","degrees":-7}"#;

/// JSON that does not.
const UNFIT: &str = r#"{"city":"Zürich","degrees":"cold"}"#;

/// A question whose answer has to fit.
fn asking(dialect: Dialect, model: &str, stream: bool, schema: &Value) -> Value {
    let mut body = if stream { dialect.streaming(model) } else { dialect.body(model) };
    let named = json!({ "type": "json_schema", "name": "weather", "strict": true,
                        "schema": schema });
    match dialect {
        Dialect::Responses => body["text"] = json!({ "format": named }),
        Dialect::Messages => {
            let format = json!({ "type": "json_schema", "schema": schema });
            body["output_config"] = json!({ "format": format });
        }
        Dialect::Chat | Dialect::Completions => {
            let mut inner = named;
            inner.as_object_mut().unwrap().shift_remove("type");
            body["response_format"] = json!({ "type": "json_schema", "json_schema": inner });
        }
    }
    body
}

/// The whole answer, streamed or not, and its text as a client puts it together.
#[track_caller]
fn answer(gateway: &Gateway, dialect: Dialect, body: &Value) -> (Reply, String) {
    let request = dialect.request(body);
    let reply = request.stream(gateway.address()).into_reply().unwrap().expect(200);
    let said = if body["stream"] == true {
        let events = events(&reply);
        assert!(dialect.ends(events.last().unwrap()), "{reply}");
        dialect.said_in(&events)
    } else {
        dialect.said(&reply)
    };
    assert_eq!(said.calls, [], "our tool is not the client's business: {reply}");
    (reply, said.text)
}

fn events(reply: &Reply) -> Vec<String> {
    let text = reply.text();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// Says `json` in the way that was asked for; in words where nothing but the prompt asks.
fn obliging(asked: &Asked, json: &str) -> Script {
    let body = asked.json();
    let ours = &body["tool_choice"]["function"]["name"];
    match ours.as_str() {
        Some(name) => call(asked, name, json),
        None if body["response_format"].is_null() => openai::respond_with(asked, &fenced(json)),
        None => openai::respond_with(asked, json),
    }
}

fn fenced(json: &str) -> String {
    format!("Here is the JSON {{as asked}}:\n```json\n{json}\n```\nIs there {{anything}} else?")
}

/// Calls one tool, streamed in small pieces or whole.
fn call(asked: &Asked, name: &str, arguments: &str) -> Script {
    let function = json!({ "name": name, "arguments": arguments });
    let call = json!({ "id": "call_ours", "type": "function", "function": function });
    if !asked.streams() {
        let mut answer = openai::answer("");
        answer["choices"][0]["message"] =
            json!({ "role": "assistant", "content": null, "tool_calls": [call] });
        answer["choices"][0]["finish_reason"] = json!("tool_calls");
        return Script::json(200, &answer);
    }
    Script::sse().bytes(openai::sse_done(&call_events(&call)))
}

fn call_events(call: &Value) -> Vec<String> {
    let text = openai::events("");
    let chunk = |delta: Value, finish: Value| {
        let mut chunk: Value = serde_json::from_str(&text[0]).unwrap();
        chunk["choices"][0]["delta"] = delta;
        chunk["choices"][0]["finish_reason"] = finish;
        chunk.to_string()
    };
    let mut begun = call.clone();
    begun["index"] = json!(0);
    begun["function"]["arguments"] = json!("");
    let mut events =
        vec![chunk(json!({ "role": "assistant", "tool_calls": [begun] }), json!(null))];
    let arguments: Vec<char> = call["function"]["arguments"].as_str().unwrap().chars().collect();
    for piece in arguments.chunks(3) {
        let function = json!({ "arguments": piece.iter().collect::<String>() });
        let more = json!([{ "index": 0, "function": function }]);
        events.push(chunk(json!({ "tool_calls": more }), json!(null)));
    }
    events.push(chunk(json!({}), json!("tool_calls")));
    events.push(text.last().unwrap().clone());
    events
}

fn id_of(reply: &Reply) -> &str {
    reply.only_header("x-torana-inference-id")
}

/// Every text that the upstream was told as an instruction.
fn instructions(asked: &Value) -> String {
    let messages = asked["messages"].as_array().unwrap();
    let system = messages.iter().filter(|it| it["role"] == "system" || it["role"] == "developer");
    system.map(|it| it["content"].to_string()).collect()
}

#[test]
fn every_client_gets_fitting_json_from_every_endpoint_whole_and_streamed() {
    let provider = Provider::start(|asked| obliging(asked, FITTING));
    let gateway = start(&provider, "");
    for dialect in Dialect::WITH_TOOLS {
        for way in WAYS {
            for stream in [false, true] {
                let case = format!("{dialect:?} at {way}, stream {stream}");
                let body = asking(dialect, way, stream, &schema());
                let (reply, text) = answer(&gateway, dialect, &body);
                assert_eq!(text, FITTING, "{case}: {reply}");
                assert_eq!(reply.header(INVALID), None, "{case}: {reply}");
                assert!(!reply.text().contains(INVALID), "{case}: {reply}");
                assert_eq!(end_reason(dialect, &reply, stream), "as usual", "{case}: {reply}");
                assert_eq!(reply.only_header("x-torana-attempts"), "1", "{case}");
                let row = gateway.inference(id_of(&reply));
                assert_eq!(row["outcome"], "ok", "{case}: {row:#}");
                assert_eq!(row.get("invalid_output"), None, "{case}: {row:#}");
            }
        }
    }
}

/// `as usual` when the answer ended as one in text does, without a call of a tool.
fn end_reason(dialect: Dialect, reply: &Reply, stream: bool) -> String {
    let events: Vec<Value> = if stream {
        events(reply).iter().filter_map(|data| serde_json::from_str(data).ok()).collect()
    } else {
        vec![reply.json()]
    };
    let found = events.iter().find_map(|event| {
        let reason = match dialect {
            Dialect::Responses if stream => &event["response"]["status"],
            Dialect::Responses => &event["status"],
            Dialect::Messages if stream => &event["delta"]["stop_reason"],
            Dialect::Messages => &event["stop_reason"],
            Dialect::Chat | Dialect::Completions => &event["choices"][0]["finish_reason"],
        };
        reason.as_str().filter(|reason| *reason != "in_progress")
    });
    match (dialect, found) {
        (Dialect::Chat, Some("stop"))
        | (Dialect::Responses, Some("completed"))
        | (Dialect::Messages, Some("end_turn")) => "as usual".to_owned(),
        _ => format!("{found:?}"),
    }
}

#[test]
fn each_endpoint_is_asked_in_the_best_way_that_it_has() {
    let provider = Provider::start(|asked| obliging(asked, FITTING));
    let gateway = start(&provider, "");
    for dialect in Dialect::WITH_TOOLS {
        for way in WAYS {
            provider.forget();
            answer(&gateway, dialect, &asking(dialect, way, false, &schema()));
            let asked = provider.only_asked().json();
            let case = format!("{dialect:?} at {way}: {asked:#}");
            let format = &asked["response_format"];
            let tool = &asked["tools"][0]["function"];
            let is_told = instructions(&asked).contains("JSON Schema");
            match way {
                "json-schema" => {
                    assert_eq!(format["json_schema"]["schema"], schema(), "{case}");
                    assert!(asked["tools"].is_null() && !is_told, "{case}");
                }
                "tool" => {
                    assert_eq!(tool["name"], "final_answer", "{case}");
                    assert_eq!(tool["parameters"], schema(), "{case}");
                    let forced = json!({ "type": "function",
                                         "function": { "name": "final_answer" } });
                    assert_eq!(asked["tool_choice"], forced, "{case}");
                    assert!(format.is_null() && !is_told, "{case}");
                }
                "json-object" => {
                    assert_eq!(*format, json!({ "type": "json_object" }), "{case}");
                    assert!(asked["tools"].is_null() && is_told, "{case}");
                }
                _ => assert!(format.is_null() && asked["tools"].is_null() && is_told, "{case}"),
            }
            if is_told {
                let told = instructions(&asked).replace("\\\"", "\"");
                assert!(told.contains(&schema().to_string()), "the schema itself: {case}");
            }
            assert_eq!(asked["messages"].as_array().unwrap().last().unwrap()["content"], "hello");
        }
    }
}

#[test]
fn fences_remarks_and_stray_commas_of_a_whole_answer_are_mended() {
    let comma = r#"{"city":"Bern","degrees":3,}"#;
    let cases = [(fenced(FITTING), FITTING), (comma.to_owned(), r#"{"city":"Bern","degrees":3}"#)];
    for (said, expected) in cases {
        let provider = Provider::start(move |asked| openai::respond_with(asked, &said));
        let gateway = start(&provider, "");
        for dialect in Dialect::WITH_TOOLS {
            for way in ["json-schema", "json-object", "prompt"] {
                let (reply, text) =
                    answer(&gateway, dialect, &asking(dialect, way, false, &schema()));
                assert_eq!(text, expected, "{dialect:?} at {way}: {reply}");
                assert_eq!(reply.header(INVALID), None, "{dialect:?} at {way}: {reply}");
            }
        }
        // A stream is the JSON in it where the gateway asked for it in words.
        if expected == FITTING {
            let (reply, text) =
                answer(&gateway, Dialect::Chat, &asking(Dialect::Chat, "prompt", true, &schema()));
            assert_eq!(text, expected, "{reply}");
        }
    }
}

#[test]
fn nothing_is_mended_where_the_operator_does_not_want_it() {
    let said = fenced(FITTING);
    let provider = Provider::start(move |asked| openai::respond_with(asked, &said));
    let gateway = start(&provider, "[structured_output]\nrepair = false");
    let body = asking(Dialect::Chat, "json-schema", false, &schema());
    let (reply, text) = answer(&gateway, Dialect::Chat, &body);
    assert_eq!(text, fenced(FITTING));
    assert_eq!(reply.only_header(INVALID), "schema");
}

/// Unfit first, fitting once it is told.
fn learning(asked: &Asked) -> Script {
    let corrected = asked.text().contains("does not match");
    obliging(asked, if corrected { FITTING } else { UNFIT })
}

#[test]
fn model_is_asked_again_once_and_told_what_was_wrong() {
    let provider = Provider::start(learning);
    let gateway = start(&provider, "[structured_output]\nmax_reasks = 1");
    for dialect in Dialect::WITH_TOOLS {
        for way in WAYS {
            provider.forget();
            let body = asking(dialect, way, false, &schema());
            let (reply, text) = answer(&gateway, dialect, &body);
            let case = format!("{dialect:?} at {way}");
            assert_eq!(text, FITTING, "{case}: {reply}");
            assert_eq!(reply.header(INVALID), None, "{case}: {reply}");
            assert_eq!(reply.only_header("x-torana-attempts"), "1", "{case}: it is one attempt");
            let [first, second] = &provider.asked()[..] else { panic!("{case}: asked once more") };
            let (first, second) = (first.json(), second.json());
            for key in ["response_format", "tools", "tool_choice", "model"] {
                assert_eq!(first[key], second[key], "{case}: it is asked in the same way");
            }
            let turns = second["messages"].as_array().unwrap();
            let [.., before, last] = &turns[..] else { panic!("{case}: {second:#}") };
            assert_eq!(turns.len(), first["messages"].as_array().unwrap().len() + 2, "{case}");
            assert_eq!(before["role"], "assistant", "{case}: {second:#}");
            assert_eq!(before["content"], UNFIT, "{case}: {second:#}");
            assert_eq!(last["role"], "user", "{case}: {second:#}");
            assert!(last["content"].as_str().unwrap().contains("/degrees"), "{case}: {last}");
            let row = gateway.inference(id_of(&reply));
            assert_eq!(row.get("invalid_output"), None, "{case}: {row:#}");
        }
    }
}

#[test]
fn tokens_of_an_answer_that_was_asked_for_again_are_counted() {
    let provider = Provider::start(learning);
    let gateway = start(&provider, "[structured_output]\nmax_reasks = 1");
    let body = asking(Dialect::Chat, "json-schema", false, &schema());
    let (reply, _) = answer(&gateway, Dialect::Chat, &body);
    assert_eq!(provider.asked().len(), 2);
    let usage = gateway.inference(id_of(&reply))["usage"].clone();
    assert_eq!((&usage["input"], &usage["output"]), (&json!(22), &json!(14)), "both were paid");
}

#[test]
fn model_is_asked_no_oftener_than_the_operator_allows() {
    let provider = Provider::start(|asked| obliging(asked, UNFIT));
    for (tables, most) in [("", 1), ("[structured_output]\nmax_reasks = 1", 2)] {
        let gateway = start(&provider, tables);
        for way in WAYS {
            provider.forget();
            let body = asking(Dialect::Chat, way, false, &schema());
            let (reply, text) = answer(&gateway, Dialect::Chat, &body);
            assert_eq!(provider.asked().len(), most, "{way} with {tables:?}");
            assert_eq!(text, UNFIT, "it is delivered as it is");
            assert_eq!(reply.only_header(INVALID), "schema");
        }
    }
}

#[test]
fn unfit_answer_is_flagged_for_every_client_at_every_endpoint() {
    let provider = Provider::start(|asked| obliging(asked, UNFIT));
    let gateway = start(&provider, "");
    for dialect in Dialect::WITH_TOOLS {
        for way in WAYS.into_iter().chain((dialect == Dialect::Chat).then_some("forwarded")) {
            for stream in [false, true] {
                let case = format!("{dialect:?} at {way}, stream {stream}");
                let (reply, text) =
                    answer(&gateway, dialect, &asking(dialect, way, stream, &schema()));
                assert_eq!(text, UNFIT, "{case}: {reply}");
                if stream {
                    let whole = reply.text();
                    let (before, after) = whole
                        .split_once(&format!(": {INVALID}: schema\n\n"))
                        .unwrap_or_else(|| panic!("{case}: no comment: {whole}"));
                    assert!(after.contains(dialect.end_marker()), "{case}: {whole}");
                    assert!(!before.contains(dialect.end_marker()), "{case}: {whole}");
                } else {
                    assert_eq!(reply.only_header(INVALID), "schema", "{case}");
                }
                let row = gateway.inference(id_of(&reply));
                assert_eq!(row["outcome"], "ok", "{case}: {row:#}");
                let errors = row["invalid_output"].as_array().unwrap();
                assert_eq!(errors.len(), 1, "{case}: {row:#}");
                assert!(errors[0].as_str().unwrap().starts_with("/degrees:"), "{case}: {row:#}");
            }
        }
    }
}

#[test]
fn fences_that_a_native_endpoint_streams_are_passed_on_and_flagged() {
    let said = fenced(FITTING);
    let provider = Provider::start(move |asked| openai::respond_with(asked, &said));
    let gateway = start(&provider, "");
    let body = asking(Dialect::Chat, "json-schema", true, &schema());
    let (reply, text) = answer(&gateway, Dialect::Chat, &body);
    assert_eq!(text, fenced(FITTING));
    assert!(reply.text().contains(&format!(": {INVALID}: schema\n\n")), "{reply}");
}

#[test]
fn answer_that_was_cut_off_is_neither_flagged_nor_asked_for_again() {
    let provider = Provider::start(|_| {
        let mut answer = openai::answer(r#"{"city":"Zü"#);
        answer["choices"][0]["finish_reason"] = json!("length");
        Script::json(200, &answer)
    });
    let gateway = start(&provider, "[structured_output]\nmax_reasks = 3");
    for way in ["json-schema", "json-object", "prompt"] {
        provider.forget();
        let body = asking(Dialect::Chat, way, false, &schema());
        let (reply, text) = answer(&gateway, Dialect::Chat, &body);
        assert_eq!(text, r#"{"city":"Zü"#, "{way}: nobody knows how it would have gone on");
        assert_eq!(reply.json()["choices"][0]["finish_reason"], "length", "{way}");
        assert_eq!(reply.header(INVALID), None, "{way}");
        provider.only_asked();
    }
}

#[test]
fn schema_that_cannot_be_checked_is_refused_where_it_stands() {
    let provider = Provider::start(|asked| obliging(asked, FITTING));
    let gateway = start(&provider, "");
    let bad = [
        (json!({ "type": "strung" }), "strung"),
        (json!({ "$ref": "https://example.com/schema.json" }), "example.com"),
        (json!({ "$ref": "#/$defs/nowhere" }), "nowhere"),
        (json!({ "type": "string", "pattern": "(?=a)b" }), "(?=a)b"),
    ];
    for dialect in Dialect::WITH_TOOLS {
        let place = match dialect {
            Dialect::Responses => "text.format.schema",
            Dialect::Messages => "output_config.format.schema",
            _ => "response_format.json_schema.schema",
        };
        for way in ROUNDABOUT {
            for (schema, named) in &bad {
                for stream in [false, true] {
                    let case = format!("{dialect:?} at {way}: {schema}");
                    let request = dialect.request(&asking(dialect, way, stream, schema));
                    let reply = gateway.send(&request).expect(400);
                    assert_eq!(dialect.error_code(&reply), "invalid_schema", "{case}: {reply}");
                    let message = dialect.error_message(&reply);
                    assert!(message.starts_with(place), "{case}: {message}");
                    assert!(message.contains(named), "{case}: {message}");
                    if dialect != Dialect::Messages {
                        assert_eq!(reply.error("param"), place, "{case}: {reply}");
                    }
                }
            }
        }
    }
    assert!(provider.asked().is_empty(), "nobody was asked");
    let page = gateway.get("/v1/inferences?limit=1&outcome=error").expect(200).json();
    assert_eq!(page["data"][0]["error"]["code"], "invalid_schema", "{page:#}");
}

#[test]
fn endpoint_that_takes_schemas_itself_may_know_more_of_them() {
    let provider = Provider::start(|asked| obliging(asked, FITTING));
    let gateway = start(&provider, "");
    let lookaround = json!({ "type": "object", "properties": { "a": { "pattern": "(?=a)b" } } });
    let (reply, text) =
        answer(&gateway, Dialect::Chat, &asking(Dialect::Chat, "json-schema", false, &lookaround));
    assert_eq!(text, FITTING);
    assert_eq!(reply.header(INVALID), None, "what cannot be checked is nobody's fault: {reply}");
    let asked = provider.only_asked().json();
    assert_eq!(asked["response_format"]["json_schema"]["schema"], lookaround);
}

#[test]
fn schema_whose_root_is_no_object_is_asked_for_in_one_and_taken_out_again() {
    let list = json!({ "type": "array", "items": { "$ref": "#/$defs/day" },
                       "$defs": { "day": { "enum": ["Mo", "Di"] } } });
    let provider = Provider::start(|asked| {
        let native = asked.json()["response_format"]["type"] == "json_schema";
        obliging(asked, if native { r#"["Mo","Di"]"# } else { r#"{ "value" : ["Mo","Di"] }"# })
    });
    let gateway = start(&provider, "");
    for dialect in Dialect::WITH_TOOLS {
        for way in WAYS {
            for stream in [false, true] {
                provider.forget();
                let (reply, text) = answer(&gateway, dialect, &asking(dialect, way, stream, &list));
                let case = format!("{dialect:?} at {way}, stream {stream}");
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value, json!(["Mo", "Di"]), "{case}: {reply}");
                assert!(!reply.text().contains(INVALID), "{case}: {reply}");
                assert_eq!(reply.header(INVALID), None, "{case}: {reply}");
                if way == "tool" {
                    let asked = provider.only_asked().json();
                    let parameters = &asked["tools"][0]["function"]["parameters"];
                    assert_eq!(parameters["type"], "object", "{case}: {asked:#}");
                    assert_eq!(parameters["properties"]["value"]["type"], "array", "{case}");
                    assert_eq!(parameters["$defs"], list["$defs"], "{case}: references hold");
                }
            }
        }
    }
}

#[test]
fn tools_of_the_client_stay_its_own_beside_ours() {
    let provider = Provider::start(|asked| call(asked, "final_answer", r#"{"city":"Bern"}"#));
    let gateway = start(&provider, "");
    for dialect in Dialect::WITH_TOOLS {
        for stream in [false, true] {
            provider.forget();
            let mut body = dialect.with_tool(asking(dialect, "tool", stream, &schema()));
            // The name that ours would have had.
            let tool = &mut body["tools"][0];
            let name = if dialect == Dialect::Chat { &mut tool["function"] } else { tool };
            name["name"] = json!("final_answer");
            let reply = dialect.request(&body).stream(gateway.address()).into_reply().unwrap();
            let said = match stream {
                true => dialect.said_in(&events(&reply)),
                false => dialect.said(&reply),
            };
            let called = vec![("final_answer".to_owned(), json!({ "city": "Bern" }))];
            assert_eq!(said.calls, called, "{dialect:?}, stream {stream}: {reply}");
            let asked = provider.only_asked().json();
            let tools = asked["tools"].as_array().unwrap();
            let names: Vec<&Value> = tools.iter().map(|it| &it["function"]["name"]).collect();
            assert_eq!(names, ["final_answer", "final_answer_2"], "{asked:#}");
            assert_eq!(asked["tool_choice"], "required", "it may choose between them: {asked:#}");
        }
    }
}

#[test]
fn any_object_will_do_where_no_schema_is_given() {
    let provider = Provider::start(|asked| obliging(asked, UNFIT));
    let gateway = start(&provider, "");
    for way in WAYS {
        for stream in [false, true] {
            provider.forget();
            let mut body = asking(Dialect::Chat, way, stream, &schema());
            body["response_format"] = json!({ "type": "json_object" });
            let (reply, text) = answer(&gateway, Dialect::Chat, &body);
            assert_eq!(text, UNFIT, "{way}, stream {stream}: {reply}");
            assert!(reply.header(INVALID).is_none(), "{way}: {reply}");
            let asked = provider.only_asked().json();
            assert!(asked["tools"].is_null(), "{way}: a forced tool would stay empty: {asked:#}");
        }
    }
}

#[test]
fn answer_that_is_no_object_is_flagged_where_one_was_asked_for() {
    let provider = Provider::start(|asked| openai::respond_with(asked, "I would rather not."));
    let gateway = start(&provider, "");
    for way in WAYS {
        for stream in [false, true] {
            let mut body = asking(Dialect::Chat, way, stream, &schema());
            body["response_format"] = json!({ "type": "json_object" });
            let (reply, text) = answer(&gateway, Dialect::Chat, &body);
            assert_eq!(text, "I would rather not.", "{way}, stream {stream}: {reply}");
            let told = match stream {
                true => reply.text().contains(&format!(": {INVALID}: schema\n\n")),
                false => reply.header(INVALID) == Some("schema"),
            };
            assert!(told, "{way}, stream {stream}: {reply}");
            let row = gateway.inference(id_of(&reply));
            assert!(row["invalid_output"].is_array(), "{way}, stream {stream}: {row:#}");
        }
    }
}

#[test]
fn streamed_json_does_not_wait_for_its_end() {
    let gate = Gate::default();
    let held = gate.clone();
    let provider = Provider::start(move |asked| {
        let body = asked.json();
        let events = match body["tool_choice"]["function"]["name"].as_str() {
            Some(name) => {
                let function = json!({ "name": name, "arguments": FITTING });
                call_events(&json!({ "id": "c", "type": "function", "function": function }))
            }
            None => openai::events(&fenced(FITTING)),
        };
        // The JSON has begun in every way by then, and has not ended.
        let (first, rest) = events.split_at(events.len() * 6 / 10);
        Script::sse().bytes(openai::sse(first)).gate(&held).bytes(openai::sse_done(rest))
    });
    let gateway = start(&provider, "");
    for dialect in Dialect::WITH_TOOLS {
        for way in ["tool", "prompt"] {
            let request: Request = dialect.request(&asking(dialect, way, true, &schema()));
            let mut stream = request.stream(gateway.address());
            let mut seen = Vec::new();
            while !text_deltas(dialect, &seen).contains("\"city\":\"Z") {
                seen.push(stream.next_event().unwrap_or_else(|| panic!("{way}: {seen:#?}")));
            }
            assert!(FITTING.starts_with(&text_deltas(dialect, &seen)), "{way}: {seen:#?}");
            drop(stream);
        }
    }
    gate.open();
}

/// The text so far.
fn text_deltas(dialect: Dialect, events: &[String]) -> String {
    let deltas = events.iter().filter_map(|data| {
        let event: Value = serde_json::from_str(data).ok()?;
        let text = match dialect {
            Dialect::Responses if event["type"] == "response.output_text.delta" => &event["delta"],
            Dialect::Messages => &event["delta"]["text"],
            Dialect::Chat | Dialect::Completions => &event["choices"][0]["delta"]["content"],
            Dialect::Responses => return None,
        };
        text.as_str().map(str::to_owned)
    });
    deltas.collect()
}
