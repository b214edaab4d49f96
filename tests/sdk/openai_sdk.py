"""Talks to a gateway with the openai package: <base url> <key> <expected text>.

Run by tests/tests/openai_sdk.rs. Ends with an assertion where something is not as the package
shows it for OpenAI itself.
"""

import asyncio
import sys

import openai

BASE_URL, KEY, TEXT = sys.argv[1:4]
MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
ARGUMENTS = ['{"city":"Zürich"}', '{"city":"Paris"}']


def client(key=KEY):
    return openai.OpenAI(base_url=BASE_URL, api_key=key, max_retries=0, timeout=30)


def chat(model):
    answer = client().chat.completions.create(model=model, messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT, answer
    assert answer.choices[0].message.role == "assistant", answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.prompt_tokens == 11 and answer.usage.completion_tokens == 7, answer
    assert answer.object == "chat.completion" and answer.id, answer


def raw_headers(model):
    raw = client().chat.completions.with_raw_response.create(model=model, messages=MESSAGES)
    assert raw.headers["x-torana-inference-id"], raw.headers
    assert raw.parse().choices[0].message.content == TEXT


def stream(model):
    text, reasons, usage = "", [], None
    options = {"include_usage": True}
    chunks = client().chat.completions.create(
        model=model, messages=MESSAGES, stream=True, stream_options=options
    )
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
        usage = chunk.usage or usage
    assert text == TEXT, text
    assert reasons == ["stop"], reasons
    assert usage.prompt_tokens == 11 and usage.completion_tokens == 7, usage


def tools(model):
    answer = client().chat.completions.create(model=model, messages=MESSAGES, tools=TOOLS)
    calls = answer.choices[0].message.tool_calls
    assert [call.id for call in calls] == ["call_1", "call_2"], answer
    assert [call.function.name for call in calls] == ["weather"] * 2, answer
    assert [call.function.arguments for call in calls] == ARGUMENTS, answer
    assert answer.choices[0].finish_reason == "tool_calls", answer


def streamed_tools(model):
    """The package's own accumulator is stricter than a loop of ours."""
    with client().chat.completions.stream(
        model=model, messages=MESSAGES, tools=TOOLS
    ) as events:
        for _ in events:
            pass
        answer = events.get_final_completion()
    calls = answer.choices[0].message.tool_calls
    assert [call.id for call in calls] == ["call_1", "call_2"], answer
    assert [call.function.arguments for call in calls] == ARGUMENTS, answer
    assert answer.choices[0].finish_reason == "tool_calls", answer


async def several_at_once(model):
    asynchronous = openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
    ask = asynchronous.chat.completions.create
    answers = await asyncio.gather(*(ask(model=model, messages=MESSAGES) for _ in range(16)))
    assert all(answer.choices[0].message.content == TEXT for answer in answers)


def raises(kind, ask):
    try:
        answer = ask()
        list(answer) if isinstance(answer, openai.Stream) else None
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}: {answer}")


def errors():
    def ask(key=KEY, **request):
        request = {"model": "forwarded", "messages": MESSAGES, **request}
        return lambda: client(key).chat.completions.create(**request)

    error = raises(openai.NotFoundError, ask(model="nothing"))
    assert error.code == "model_not_found" and "forwarded" in error.message, error
    error = raises(openai.AuthenticationError, ask(key="sk-wrong"))
    assert error.code == "invalid_api_key", error
    error = raises(openai.BadRequestError, ask(messages="hello"))
    assert error.param == "messages", error
    raises(openai.RateLimitError, ask(model="limited"))
    raises(openai.APIError, ask(model="broken", stream=True))


def main():
    models = {model.id for model in client().models.list()}
    assert {"forwarded", "translated"} <= models, models
    for model in ("forwarded", "translated"):
        chat(model)
        raw_headers(model)
        stream(model)
        tools(model)
        streamed_tools(model)
        asyncio.run(several_at_once(model))
    errors()


main()
