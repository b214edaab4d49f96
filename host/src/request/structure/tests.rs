//! What the model says, as the client gets it: for every way, whole and cut anyhow.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;
use torana_wire::chat::FinishReason;
use torana_wire::event::{BlockKind, StreamEvent};

use super::*;

fn object() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
}

fn asking(schema: Value) -> Request {
    let message = |role, text: &str| Message { role, blocks: vec![Block::text(text)], name: None };
    Request {
        messages: vec![message(Role::System, "Be good."), message(Role::User, "Hi")],
        output_format: Some(OutputFormat::JsonSchema {
            name: "thing".into(),
            description: Some("what it is".into()),
            schema,
            strict: Some(true),
        }),
        ..Request::default()
    }
}

fn tool(name: &str) -> Tool {
    let parameters = Some(json!({"type": "object"}));
    Tool::Function { name: name.into(), description: None, parameters, strict: None, cache: None }
}

fn call(name: &str, arguments: &str) -> Block {
    let (id, name, arguments) = ("c".into(), name.into(), arguments.into());
    Block::ToolCall { id, name, arguments, cache: None }
}

fn answer(blocks: Vec<Block>, reason: FinishReason) -> Response {
    Response { blocks, finish_reason: Some(reason), ..Response::default() }
}

fn texts(response: &Response) -> Vec<&str> {
    let texts = response.blocks.iter().filter_map(|block| match block {
        Block::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// The answer as a stream whose deltas are cut into pieces of these lengths, over and over.
fn streamed(plan: &Plan, response: &Response, cuts: &[usize]) -> Response {
    let mut rewriter = plan.stream();
    let mut out = Vec::new();
    let mut lengths = cuts.iter().copied().cycle();
    for event in replay(response) {
        match event {
            StreamEvent::TextDelta { index, text } => {
                for text in pieces(&text, &mut lengths) {
                    rewriter.push(StreamEvent::TextDelta { index, text }, &mut out);
                }
            }
            StreamEvent::ToolCallDelta { index, arguments } => {
                for arguments in pieces(&arguments, &mut lengths) {
                    rewriter.push(StreamEvent::ToolCallDelta { index, arguments }, &mut out);
                }
            }
            event => rewriter.push(event, &mut out),
        }
    }
    rewriter.finish(&mut out);
    assert_well_formed(&out);
    let mut assembler = Assembler::default();
    out.iter().for_each(|event| assembler.push(event));
    assembler.finish()
}

fn pieces(text: &str, lengths: &mut impl Iterator<Item = usize>) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut rest = characters.as_slice();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(lengths.next().unwrap().min(rest.len()));
        pieces.push(piece.iter().collect());
        rest = after;
    }
    pieces
}

/// Blocks begin in order, once, and deltas go to an open block of their kind.
fn assert_well_formed(events: &[StreamEvent]) {
    let mut open: Vec<(u32, bool)> = Vec::new();
    let mut next = 0;
    for event in events {
        match event {
            StreamEvent::BlockStart { index, kind } => {
                assert_eq!(*index, next, "{events:?}");
                next += 1;
                open.push((*index, matches!(kind, BlockKind::ToolCall { .. })));
            }
            StreamEvent::TextDelta { index, .. } => assert!(open.contains(&(*index, false))),
            StreamEvent::ToolCallDelta { index, .. } => assert!(open.contains(&(*index, true))),
            StreamEvent::BlockStop { index } => open.retain(|(block, _)| block != index),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{events:?}");
}

#[test]
fn what_an_endpoint_can_do_itself_is_left_to_it() {
    let schema = asking(object());
    let any = Request { output_format: Some(OutputFormat::JsonObject), ..Request::default() };
    assert_eq!(Plan::of(&schema, Native::JsonSchema), None);
    assert_eq!(Plan::of(&any, Native::JsonSchema), None);
    assert_eq!(Plan::of(&any, Native::JsonObject), None);
    assert_eq!(Plan::of(&Request::default(), Native::Prompt), None);
    let prompted = Plan::of(&any, Native::Tool).unwrap().request(&any);
    assert!(prompted.tools.is_empty() && prompted.output_format.is_none());
    assert!(
        matches!(&prompted.messages[0].blocks[0], Block::Text { text, .. } if text.contains("JSON"))
    );
}

#[test]
fn a_forced_tool_takes_the_schema() {
    let request = asking(object());
    let rewritten = Plan::of(&request, Native::Tool).unwrap().request(&request);
    assert_eq!(rewritten.output_format, None);
    assert_eq!(rewritten.messages, request.messages);
    assert_eq!(rewritten.parallel_tool_calls, Some(false));
    assert_eq!(rewritten.tool_choice, Some(ToolChoice::Tool { name: TOOL_NAME.into() }));
    let Tool::Function { parameters, strict, description, .. } = &rewritten.tools[0] else {
        unreachable!()
    };
    assert_eq!((parameters, strict), (&Some(object()), &Some(true)));
    assert!(description.as_ref().unwrap().contains("what it is"));
}

#[test]
fn the_clients_own_tools_stay_callable() {
    let tools = vec![tool("look"), tool(TOOL_NAME)];
    let with = |choice| Request { tools: tools.clone(), tool_choice: choice, ..asking(object()) };
    let rewritten = |request: &Request| Plan::of(request, Native::Tool).unwrap().request(request);
    let free = rewritten(&with(None));
    assert_eq!(free.tool_choice, Some(ToolChoice::Required));
    assert_eq!(free.tools.len(), 3);
    assert!(matches!(&free.tools[2], Tool::Function { name, .. } if name == "final_answer_2"));
    let none = rewritten(&with(Some(ToolChoice::None)));
    assert_eq!(none.tool_choice, Some(ToolChoice::Tool { name: "final_answer_2".into() }));
    for choice in [ToolChoice::Required, ToolChoice::Tool { name: "look".into() }] {
        let forced = rewritten(&with(Some(choice.clone())));
        assert_eq!((forced.tools.len(), forced.tool_choice), (2, Some(choice)));
    }

    let plan = Plan::of(&with(None), Native::Tool).unwrap();
    let theirs = answer(vec![Block::text("Looking."), call("look", "{}")], FinishReason::ToolCalls);
    assert_eq!(plan.response(theirs.clone()), theirs);
    let ours = answer(
        vec![Block::text("Now I answer."), call("final_answer_2", r#"{"a":1}"#)],
        FinishReason::ToolCalls,
    );
    assert_eq!(plan.response(ours), answer(vec![Block::text(r#"{"a":1}"#)], FinishReason::Stop));
}

#[test]
fn a_model_that_reasons_is_asked_in_the_prompt() {
    let reasoning = Some(Reasoning { effort: Some("high".into()), budget_tokens: None });
    let request = Request { reasoning, ..asking(object()) };
    let rewritten = Plan::of(&request, Native::Tool).unwrap().request(&request);
    assert!(rewritten.tools.is_empty() && rewritten.tool_choice.is_none());
    assert_eq!(rewritten.messages[0], request.messages[0]);
    assert_eq!(rewritten.messages[1].role, Role::System);
    assert_eq!(rewritten.messages[2], request.messages[1]);
}

#[test]
fn a_schema_that_is_no_object_is_wrapped_and_its_references_still_lead_somewhere() {
    let list = json!({"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#"}]},
        "$defs": {"leaf": {"type": "integer"}, "back": {"$ref": "#/items"}}});
    let request = asking(list);
    for native in [Native::Tool, Native::JsonObject, Native::Prompt] {
        let plan = Plan::of(&request, native).unwrap();
        let schema = Schema::compile(plan.schema.as_ref().unwrap()).unwrap();
        assert_eq!(schema.validate(r#"{"value":[1,[2,[]]]}"#), Validity::Valid);
        assert!(matches!(schema.validate(r#"{"value":[1,["2"]]}"#), Validity::Invalid { .. }));
        assert!(matches!(schema.validate("[1]"), Validity::Invalid { .. }));
        let said = if native == Native::Tool {
            call(TOOL_NAME, "{\"value\" : [1, [2]]\n}")
        } else {
            Block::text("Sure:\n```json\n{ \"value\": [1, [2]] }\n```")
        };
        let given = plan.response(answer(vec![said], FinishReason::Stop));
        assert_eq!(texts(&given), ["[1, [2]]"], "{native:?}");
        // The model may leave the wrapper out.
        let bare = plan.response(answer(vec![Block::text("Here: [1, [2]].")], FinishReason::Stop));
        assert_eq!(texts(&bare), ["[1, [2]]"], "{native:?}");
    }
}

#[test]
fn fences_and_remarks_are_left_out_and_words_pass() {
    let request = asking(object());
    let plan = Plan::of(&request, Native::Prompt).unwrap();
    let long = "x".repeat(5000);
    for (said, given) in [
        ("```json\n{\"a\": 1}\n```", vec![r#"{"a": 1}"#]),
        ("{\"a\": 1}\n\nHope that helps {or not}!", vec![r#"{"a": 1}"#]),
        ("Use {a} like so: { \n\"a\": \"}```\"}```", vec!["{ \n\"a\": \"}```\"}"]),
        ("I cannot do that {sorry", vec!["I cannot do that {sorry"]),
        ("{\"a\": \"cut o", vec!["{\"a\": \"cut o"]),
        ("{", vec!["{"]),
        (long.as_str(), vec![long.as_str()]),
        ("", vec![]),
    ] {
        let whole = plan.response(answer(vec![Block::text(said)], FinishReason::Stop));
        assert_eq!(texts(&whole), given, "{said}");
    }
}

#[test]
fn text_is_held_back_no_longer_than_it_takes_to_decide() {
    let request = asking(object());
    let mut rewriter = Plan::of(&request, Native::Prompt).unwrap().stream();
    let mut out = Vec::new();
    let mut push = |event| {
        out.clear();
        rewriter.push(event, &mut out);
        out.len()
    };
    let text = |text: &str| StreamEvent::TextDelta { index: 0, text: text.into() };
    assert_eq!(push(StreamEvent::BlockStart { index: 0, kind: BlockKind::Text }), 0);
    assert_eq!(push(text("```json\n{")), 0);
    assert_eq!(push(text("\"a")), 2, "the block begins with its first text");
    assert_eq!(push(text("\":")), 1);
    assert_eq!(push(text("1}")), 1);
    assert_eq!(push(text("\n```")), 0);
    assert_eq!(push(StreamEvent::BlockStop { index: 0 }), 1);

    let mut words = Plan::of(&request, Native::Prompt).unwrap().stream();
    words.push(StreamEvent::BlockStart { index: 0, kind: BlockKind::Text }, &mut out);
    words.push(text(&"word ".repeat(500)), &mut out);
    let told = out.iter().any(|event| matches!(event, StreamEvent::TextDelta { .. }));
    assert!(told, "an answer in words comes before its end");
}

#[test]
fn a_broken_stream_gives_what_was_held_back_and_no_finish() {
    let plan = Plan::of(&asking(object()), Native::Prompt).unwrap();
    let mut rewriter = plan.stream();
    let mut out = Vec::new();
    rewriter.push(StreamEvent::BlockStart { index: 4, kind: BlockKind::Text }, &mut out);
    rewriter.push(StreamEvent::TextDelta { index: 4, text: "Sorry".into() }, &mut out);
    assert!(out.is_empty());
    rewriter.finish(&mut out);
    assert_eq!(out[1], StreamEvent::TextDelta { index: 0, text: "Sorry".into() });
    assert!(!out.iter().any(|event| matches!(event, StreamEvent::Finish(_))));
}

#[test]
fn citations_follow_their_text() {
    let plan = Plan::of(&asking(object()), Native::Prompt).unwrap();
    let extra = json!({"annotations": [1]}).as_object().cloned().unwrap();
    let cited = |text: &str| Block::Text { text: text.into(), cache: None, extra: extra.clone() };
    for said in ["just words", r#"{"a":1}"#] {
        let given = plan.response(answer(vec![cited(said)], FinishReason::Stop));
        assert_eq!(given.blocks, [cited(said)]);
    }
}

#[test]
fn repair_mends_the_usual_faults_and_completes_nothing() {
    let expected = Expected::of(&asking(object())).unwrap().unwrap();
    for (said, meant) in [
        ("```json\n{\"a\":1,}\n```", Some(r#"{"a":1}"#)),
        ("Here it is: {\"a\":1}. Bye", Some(r#"{"a":1}"#)),
        ("{x} then {\"a\":2, \"b\":[\"1,]\", 2, ] }", Some("{\"a\":2, \"b\":[\"1,]\", 2 ] }")),
        ("{\"a\":1", None),
        ("{\"a\":\"one\"}", None),
        ("nothing", None),
    ] {
        assert_eq!(expected.repair(said).as_deref(), meant, "{said}");
    }
    let any = Expected::Object;
    assert_eq!(any.repair("so: {}").as_deref(), Some("{}"));
    assert!(matches!(any.validate("[]"), Validity::Invalid { .. }));
    assert_eq!(any.validate("{}"), Validity::Valid);
}

#[test]
fn asking_again_shows_the_answer_and_its_errors() {
    let request = asking(object());
    let expected = Expected::of(&request).unwrap().unwrap();
    let Validity::Invalid { errors } = expected.validate(r#"{"a":"x"}"#) else { unreachable!() };
    let again = reask(&request, r#"{"a":"x"}"#, &errors);
    assert_eq!(again.messages.len(), request.messages.len() + 2);
    assert_eq!(again.output_format, request.output_format);
    let Block::Text { text, .. } = &again.messages.last().unwrap().blocks[0] else {
        unreachable!()
    };
    assert!(text.contains("/a: "), "{text}");
    assert_eq!(reask(&request, " ", &errors).messages.len(), request.messages.len() + 1);
}

#[test]
fn only_an_answer_in_the_format_is_checked() {
    let said = |reason| answer(vec![Block::text("{"), Block::text("}")], reason);
    assert_eq!(answer_text(&said(FinishReason::Stop)).as_deref(), Some("{}"));
    assert_eq!(answer_text(&said(FinishReason::Length)), None);
    assert_eq!(answer_text(&answer(vec![call("look", "{}")], FinishReason::Stop)), None);
    let mut repaired = said(FinishReason::Stop);
    replace_text(&mut repaired, "[]".into());
    assert_eq!(texts(&repaired), ["[]"]);
}

/// Pieces of text that the filter has to decide on.
fn chatter() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        "[a-z é{}\\[\\]\":,\\\\`\n0-9]{0,12}",
        Just("```json\n".to_owned()),
        Just("{\"value\"".to_owned()),
        Just(": ".to_owned()),
        Just("{ \"a\": 1 }".to_owned()),
        Just("[{".to_owned()),
        Just("}".to_owned()),
        Just("{".to_owned()),
        Just("\\\"".to_owned()),
        Just(" ".repeat(70)),
        Just("word ".repeat(450)),
    ];
    prop::collection::vec(atom, 0..8).prop_map(|atoms| atoms.concat())
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let block = prop_oneof![
        3 => chatter().prop_map(Block::text),
        2 => chatter().prop_map(|arguments| call(TOOL_NAME, &arguments)),
        1 => chatter().prop_map(|arguments| call("look", &arguments)),
        1 => chatter().prop_map(|text| Block::Refusal { text }),
        1 => chatter().prop_map(Block::reasoning),
    ];
    prop::collection::vec(block, 0..5)
}

fn plans() -> Vec<Plan> {
    let wrapped = asking(json!({"type": "array"}));
    let plain = asking(object());
    let natives = [Native::Tool, Native::JsonObject, Native::Prompt];
    let plan = |native| [Plan::of(&plain, native).unwrap(), Plan::of(&wrapped, native).unwrap()];
    natives.into_iter().flat_map(plan).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_cut_gives_what_the_whole_gives(
        blocks in blocks(),
        cuts in prop::collection::vec(1_usize..9, 1..8),
    ) {
        let said = answer(blocks, FinishReason::ToolCalls);
        for plan in plans() {
            prop_assert_eq!(streamed(&plan, &said, &cuts), plan.response(said.clone()));
            prop_assert_eq!(streamed(&plan, &said, &[1]), plan.response(said.clone()));
        }
    }

    #[test]
    fn json_comes_out_of_any_packing(
        text in "[a-z\"\\\\{}\\[\\]`, é\n]{0,30}",
        number: i32,
        before in "[A-Za-z .:`\n]{0,40}",
        after in "[A-Za-z .:`{}\n]{0,40}",
        cut in 1_usize..7,
    ) {
        let value = json!({"a": number, "b": [{"c": text}, null, true], "value": {}});
        let (compact, pretty) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
        let plain = Plan::of(&asking(object()), Native::Prompt).unwrap();
        let list = asking(json!({"type": "array"}));
        let wrapped = Plan::of(&list, Native::JsonObject).unwrap();
        let forced = Plan::of(&list, Native::Tool).unwrap();
        for json in [&compact, &pretty] {
            let said = format!("{before}{json}{after}");
            let given = streamed(&plain, &answer(vec![Block::text(said)], FinishReason::Stop), &[cut]);
            prop_assert_eq!(texts(&given), [json.as_str()]);
            let packed = format!("{{ \"value\":\n{json}}}");
            let said = answer(vec![Block::text(format!("{before}{packed}{after}"))], FinishReason::Stop);
            let given = streamed(&wrapped, &said, &[cut]);
            prop_assert_eq!(texts(&given), [json.as_str()]);
            let said = answer(vec![call(TOOL_NAME, &packed)], FinishReason::ToolCalls);
            let given = streamed(&forced, &said, &[cut]);
            prop_assert_eq!(texts(&given), [json.as_str()]);
            prop_assert_eq!(given.finish_reason, Some(FinishReason::Stop));
        }
    }

    #[test]
    fn repair_never_gives_what_is_not_valid(text in chatter()) {
        if let Some(repaired) = Expected::Object.repair(&text) {
            prop_assert_eq!(Expected::Object.validate(&repaired), Validity::Valid);
        }
    }
}
