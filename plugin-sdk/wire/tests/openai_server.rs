//! What a server is asked that takes less than OpenAI does, and what is said of the rest.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use torana_wire::chat::{
    Block, CacheMarker, MediaKind, MediaSource, Message, Reasoning, Request, Role, Tool, ToolChoice,
};
use torana_wire::error::CallErrorKind;
use torana_wire::openai::request::{Input, LimitName, Options, decode, encode, encode_with};

fn ask(request: &Request, options: &Options) -> (Value, Vec<String>) {
    let encoded = encode_with(request, "m", options).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.dropped)
}

fn message(role: Role, blocks: Vec<Block>) -> Message {
    Message { role, blocks, name: None }
}

fn media(kind: MediaKind, source: MediaSource) -> Block {
    Block::Media { kind, source, mime_type: None, filename: None, detail: None, cache: None }
}

fn inline(data: &str) -> MediaSource {
    MediaSource::Inline { data: data.into() }
}

fn extra(fields: Value) -> Request {
    Request { extra: fields.as_object().unwrap().clone(), ..Request::default() }
}

#[test]
fn parameters_of_other_dialects_are_named_and_not_sent() {
    let request = extra(json!({
        "thinking": {"type": "enabled"}, "betas": ["x"], "include": [], "previous_response_id": "r",
        "suffix": "s", "n": 2, "service_tier": "standard_only", "logit_bias": {"1": 2}, "guided_json": {}}));
    let (body, dropped) = ask(&request, &Options::default());
    assert_eq!(
        body,
        json!({"model": "m", "messages": [], "logit_bias": {"1": 2}, "guided_json": {}})
    );
    let expected =
        ["betas", "include", "n", "previous_response_id", "service_tier", "suffix", "thinking"];
    assert_eq!(dropped, expected);
    let options = Options { accepts: vec!["thinking".into()], ..Options::default() };
    let (body, dropped) = ask(&extra(json!({"thinking": {"type": "enabled"}, "n": 1})), &options);
    assert_eq!((&body["thinking"], &body["n"]), (&json!({"type": "enabled"}), &json!(1)));
    assert_eq!(dropped, [""; 0]);
}

#[test]
fn tools_of_other_dialects_are_named_and_take_their_choice_along() {
    let other = |kind: &str| Tool::Other {
        dialect: "anthropic-messages".into(),
        value: json!({"type": kind, "name": "x"}),
    };
    let request = Request {
        tools: vec![other("web_search_20250305"), other("bash_20250124")],
        tool_choice: Some(ToolChoice::Auto),
        parallel_tool_calls: Some(false),
        ..Request::default()
    };
    let (body, dropped) = ask(&request, &Options::default());
    assert_eq!(body, json!({"model": "m", "messages": []}));
    assert_eq!(dropped, ["tool_choice", "tools.bash_20250124", "tools.web_search_20250305"]);
}

#[test]
fn foreign_content_of_the_user_is_refused_and_of_the_assistant_left_out() {
    let foreign = Block::Other {
        dialect: "anthropic-messages".into(),
        value: json!({"type": "search_result", "source": "s"}),
    };
    let request = |role, block: Block| Request {
        messages: vec![message(role, vec![block])],
        ..Request::default()
    };
    let in_a_result = Block::ToolResult {
        id: "c".into(),
        blocks: vec![foreign.clone()],
        is_error: false,
        cache: None,
    };
    for refused in [
        request(Role::User, foreign.clone()),
        request(Role::System, foreign.clone()),
        request(Role::Tool, in_a_result),
    ] {
        let error = encode(&refused, "m").unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unsupported);
        assert_eq!(error.message, "search_result content of anthropic-messages is not supported");
    }
    let (body, dropped) = ask(&request(Role::Assistant, foreign), &Options::default());
    assert_eq!(body["messages"], json!([{"role": "assistant", "content": ""}]));
    assert_eq!(dropped, [""; 0]);
}

#[test]
fn media_that_the_server_does_not_read_are_refused_by_name() {
    let url = || MediaSource::Url { url: "https://h/x".into() };
    let cases = [
        (media(MediaKind::Image, url()), Input::Image, "image input"),
        (media(MediaKind::Audio, inline("AA")), Input::Audio, "audio input"),
        (media(MediaKind::Audio, url()), Input::AudioUrl, "audio input by URL"),
        (media(MediaKind::Video, url()), Input::Video, "video input"),
        (media(MediaKind::File, inline("AA")), Input::File, "file input"),
        (media(MediaKind::File, url()), Input::FileUrl, "file input by URL"),
    ];
    for (block, input, feature) in cases {
        let request =
            Request { messages: vec![message(Role::User, vec![block])], ..Request::default() };
        let none = Options { inputs: Vec::new(), ..Options::default() };
        let error = encode_with(&request, "m", &none).unwrap_err();
        assert_eq!(error.message, format!("{feature} is not supported"));
        let one = Options { inputs: vec![input], ..Options::default() };
        assert!(encode_with(&request, "m", &one).is_ok());
    }
}

#[test]
fn image_without_a_type_gets_the_one_its_bytes_tell() {
    let blocks = ["/9j/AA", "R0lGAA", "UklGAA", "iVBORw"]
        .map(|data| message(Role::User, vec![media(MediaKind::Image, inline(data))]));
    let request = Request { messages: blocks.to_vec(), ..Request::default() };
    let (body, _) = ask(&request, &Options::default());
    let url = |at: usize| body["messages"][at]["content"][0]["image_url"]["url"].clone();
    assert_eq!(url(0), "data:image/jpeg;base64,/9j/AA");
    assert_eq!(url(1), "data:image/gif;base64,R0lGAA");
    assert_eq!(url(2), "data:image/webp;base64,UklGAA");
    assert_eq!(url(3), "data:image/png;base64,iVBORw");
}

fn marked(text: &str) -> Block {
    Block::Text {
        text: text.into(),
        cache: Some(CacheMarker { ttl: None }),
        extra: json!({"citations": [1]}).as_object().unwrap().clone(),
    }
}

fn strict_function() -> Tool {
    Tool::Function {
        name: "f".into(),
        description: None,
        parameters: None,
        strict: Some(true),
        cache: Some(CacheMarker { ttl: None }),
    }
}

#[test]
fn marks_that_the_server_does_not_take_are_left_out_and_named() {
    let request = Request {
        messages: vec![message(Role::Developer, vec![marked("a")])],
        tools: vec![strict_function()],
        ..Request::default()
    };
    let options = Options {
        cache_control: false,
        strict_tools: false,
        developer_role: false,
        ..Options::default()
    };
    let (body, dropped) = ask(&request, &options);
    assert_eq!(body["messages"], json!([{"role": "system", "content": "a"}]));
    assert_eq!(body["tools"], json!([{"type": "function", "function": {"name": "f"}}]));
    assert_eq!(dropped, ["cache_control", "tools.strict"]);
    let (body, dropped) = ask(&request, &Options::default());
    let part = json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}});
    assert_eq!(body["messages"], json!([{"role": "developer", "content": [part]}]));
    assert_eq!(body["tools"][0]["function"]["strict"], true);
    assert_eq!(dropped, [""; 0]);
}

#[test]
fn limit_usage_and_reasoning_have_the_names_the_server_knows() {
    let body = json!({"model": "m", "messages": [], "stream": true, "max_tokens": 9, "max_completion_tokens": 5,
        "stream_options": {"include_usage": true}});
    let request = decode(body.to_string().as_bytes()).unwrap();
    let with = |limit, stream_options| {
        let options = Options { limit, stream_options, ..Options::default() };
        ask(&request, &options).0
    };
    let expected = json!({"model": "m", "messages": [], "stream": true, "max_tokens": 5});
    assert_eq!(with(LimitName::MaxTokens, false), expected);
    let expected = json!({"model": "m", "messages": [], "stream": true, "max_completion_tokens": 5,
        "stream_options": {"include_usage": true}});
    assert_eq!(with(LimitName::MaxCompletionTokens, true), expected);

    let reasoning = |effort: Option<&str>, budget_tokens| {
        let reasoning = Reasoning { effort: effort.map(Into::into), budget_tokens };
        let request = Request { reasoning: Some(reasoning), ..Request::default() };
        let options = Options { reasoning_object: true, ..Options::default() };
        ask(&request, &options).0["reasoning"].clone()
    };
    assert_eq!(reasoning(Some("high"), None), json!({"effort": "high"}));
    assert_eq!(reasoning(None, Some(3_000)), json!({"max_tokens": 3_000}));
    assert_eq!(reasoning(None, Some(0)), json!({"enabled": false}));
    assert_eq!(reasoning(Some("none"), None), json!({"enabled": false}));
}

#[test]
fn media_of_tool_results_follow_when_all_results_are_told() {
    let result = |id: &str, blocks: Vec<Block>| Block::ToolResult {
        id: id.into(),
        blocks,
        is_error: false,
        cache: None,
    };
    let image = || media(MediaKind::Image, inline("/9j/AA"));
    let request = Request {
        messages: vec![
            message(Role::Tool, vec![result("a", vec![image()])]),
            message(Role::Tool, vec![result("b", vec![Block::text("two")])]),
            message(Role::User, vec![Block::text("go on")]),
        ],
        ..Request::default()
    };
    let options = Options { tool_media: false, ..Options::default() };
    let (body, _) = ask(&request, &options);
    let image_part =
        json!({"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/AA"}});
    let expected = json!([
        {"role": "tool", "tool_call_id": "a", "content": "See the attachment in the next message of the user."},
        {"role": "tool", "tool_call_id": "b", "content": "two"},
        {"role": "user", "content": [
            {"type": "text", "text": "Attachments of the tool results above:"},
            image_part,
            {"type": "text", "text": "go on"}]}]);
    assert_eq!(body["messages"], expected);
    let (body, _) = ask(&request, &Options::default());
    assert_eq!(body["messages"][0]["content"], json!([image_part]));
}
