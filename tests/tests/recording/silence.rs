//! Nothing of a conversation and no secret is in the log, however much is logged.

use super::*;

const SECRETS: [(&str, &str); 2] =
    [("UPSTREAM", "sk-mark-of-the-provider-key"), ("CLIENT", "mark-of-the-client-key")];

/// Echoes what it is asked: as an answer, an error, half a stream.
fn provider() -> Provider {
    Provider::start(|asked: &Asked| {
        let echo = format!("mark-of-an-answer {}", asked.text());
        match asked.json()["model"].as_str() {
            Some("fails") => Script::json(500, &openai::error(&echo, "server_error", "no")),
            Some("refuses") => Script::json(400, &openai::error(&echo, "invalid", "no")),
            Some("babbles") => Script::whole(200, "application/json", echo),
            Some("cut") => {
                let events = openai::events(&echo);
                Script::sse().bytes(openai::sse(&events[..3]))
            }
            _ => openai::respond_with(asked, &echo),
        }
    })
}

fn tables(provider: &Provider) -> String {
    let keyed = "credential = \"env:UPSTREAM\"";
    let mut tables = compatible("forwarded", &provider.url(), keyed)
        + &compatible("translated", &provider.url(), &format!("{keyed}\nforward = false"))
        + "[keys.team]\nsecret = \"env:CLIENT\"\n"
        + SINK
        + ROWS;
    let hostile = guest::path("provider-hostile");
    for name in ["blab", "blab-trap"] {
        tables += &plugin(name, &hostile, "limits = { cpu_ms = 1_000 }");
        tables += &format!("[providers.{name}]\nplugin = \"{name}\"\n");
        tables += &format!("[models.{name}]\nendpoints = [\"{name}/{name}\"]\n");
    }
    tables
}

#[test]
fn log_names_the_request_and_says_nothing_of_it_at_any_level() {
    let provider = provider();
    for format in ["text", "json"] {
        let folder = Folder::new(&Config::new(tables(&provider)));
        let environment = [SECRETS[0], SECRETS[1], ("RUST_LOG", "trace")];
        let gateway = Gateway::start_with(folder, &environment, &["--log-format", format]);
        let mut ids = Vec::new();
        let mut send = |body: &Value| {
            let request = openai::completion(body)
                .header("authorization", "Bearer mark-of-the-client-key")
                .header("x-torana-tags", "tag=mark-of-a-tag");
            let reply = gateway.send(&request);
            ids.extend(reply.header("x-torana-inference-id").map(str::to_owned));
        };
        for way in ["forwarded", "translated"] {
            for model in ["good", "fails", "refuses", "babbles", "cut"] {
                for stream in [false, true] {
                    let mut body = said("mark-of-a-prompt", &format!("{way}/{model}"));
                    body["stream"] = json!(stream);
                    send(&body);
                }
            }
        }
        send(&json!({ "model": "forwarded/good", "messages": "mark-of-a-prompt" }));
        send(&said("mark-of-a-prompt", "blab"));
        send(&said("mark-of-a-prompt", "blab-trap"));
        let wrong = openai::completion(&said("mark-of-a-prompt", "forwarded/good"));
        gateway.send(&wrong.header("authorization", "Bearer mark-of-a-guess")).expect(401);
        let log = gateway.log();
        assert!(log.len() > 10_000, "it does log: {log}");
        let told: Vec<&str> = log.lines().filter(|line| line.contains("mark-of")).collect();
        assert!(told.is_empty(), "{format}: {told:#?}");
        let kill = log.lines().find(|line| line.contains("plugin call killed")).unwrap();
        let last = ids.last().unwrap();
        let named = match format {
            "text" => kill.contains(&format!("inference_id={last} trace_id=")),
            _ => {
                let line: Value = serde_json::from_str(kill).unwrap();
                line["inference_id"] == last.as_str() && line["trace_id"].is_string()
            }
        };
        assert!(named, "{format}: {kill}");
        assert!(log.contains("is withheld"), "that something was said is told");
    }
}

#[test]
fn operator_may_have_a_plugin_say_what_it_likes() {
    let tables = plugin("blab", &guest::path("provider-hostile"), "log_content = true")
        + "[providers.blab]\nplugin = \"blab\"\n[models.blab]\nendpoints = [\"blab/blab\"]\n";
    let gateway = Gateway::start(&Config::new(tables));
    gateway.chat(&said("mark-of-a-prompt", "blab")).expect(200);
    eventually("the plugin's line", || gateway.log().contains("mark-of-a-prompt").then_some(()));
}
