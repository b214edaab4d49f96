"""Talks to a gateway with the anthropic package: <base url> <key> <expected text> <thought>.

Run by tests/tests/anthropic_sdk.rs. Ends with an assertion where something is not as the
package shows it for Anthropic itself.
"""

import asyncio
import base64
import json
import sys

import anthropic
from pydantic import BaseModel

BASE_URL, KEY, TEXT, THOUGHT = sys.argv[1:5]
MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [
    {
        "name": "weather",
        "description": "Weather of a city",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
]
WEATHER = {"role": "user", "content": "How is the weather in 'Zürich'?"}
THINKING = {"type": "enabled", "budget_tokens": 1024}
IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()


def client(key=KEY, **more):
    return anthropic.Anthropic(base_url=BASE_URL, api_key=key, max_retries=0, timeout=30, **more)


def ask(model, messages=MESSAGES, **more):
    return client().messages.create(model=model, max_tokens=2048, messages=messages, **more)


def opened(model, messages=MESSAGES, **more):
    """The package's own accumulator is stricter than a loop of ours."""
    return client().messages.stream(model=model, max_tokens=2048, messages=messages, **more)


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def whole(model):
    message = ask(model)
    assert text_of(message) == TEXT, message
    assert message.type == "message" and message.role == "assistant" and message.id, message
    assert message.stop_reason == "end_turn", message
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 7), message


def streamed(model):
    with opened(model) as stream:
        assert "".join(stream.text_stream) == TEXT
        message = stream.get_final_message()
    assert text_of(message) == TEXT and message.stop_reason == "end_turn", message
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 7), message
    kinds = [event.type for event in ask(model, stream=True) if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"], kinds
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds


def conversation(model):
    """A system prompt, sampling and a longer history."""
    messages = [*MESSAGES, {"role": "assistant", "content": "Hi!"}, *MESSAGES]
    sampling = {"temperature": 0.5}  # The package has no argument for it any more.
    message = ask(
        model, messages, system="Be brief.", stop_sequences=["END"], extra_body=sampling
    )
    assert text_of(message) == TEXT, message


def tools(model):
    message = ask(model, [WEATHER], tools=TOOLS)
    check_call(message)
    with opened(model, [WEATHER], tools=TOOLS) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert json.loads("".join(pieces)) == {"city": "Zürich"}, pieces
    check_call(final)
    for answer in (message, final):
        result = {
            "type": "tool_result",
            "tool_use_id": answer.content[-1].id,
            "content": [{"type": "text", "text": "Sunny"}],
        }
        history = [
            WEATHER,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": [result]},
        ]
        assert text_of(ask(model, history, tools=TOOLS)) == TEXT


def check_call(message):
    call = message.content[-1]
    assert message.stop_reason == "tool_use", message
    assert call.type == "tool_use" and call.name == "weather" and call.id, message
    assert call.input == {"city": "Zürich"}, message


def tool_choice(model):
    forced = {"type": "tool", "name": "weather"}
    check_call(ask(model, [WEATHER], tools=TOOLS, tool_choice=forced))
    check_call(ask(model, [WEATHER], tools=TOOLS, tool_choice={"type": "any"}))
    silent = ask(model, [WEATHER], tools=TOOLS, tool_choice={"type": "none"})
    assert text_of(silent) == TEXT, silent


def thinking(model):
    message = ask(model, thinking=THINKING)
    with opened(model, thinking=THINKING) as stream:
        pieces = [event.thinking for event in stream if event.type == "thinking"]
        final = stream.get_final_message()
    assert "".join(pieces) == THOUGHT, pieces
    for answer in (message, final):
        thought = answer.content[0]
        assert thought.type == "thinking" and thought.thinking == THOUGHT, answer
        assert text_of(answer) == TEXT, answer
        # What a client does: it sends back what it got, signature and all.
        history = [*MESSAGES, {"role": "assistant", "content": answer.content}, *MESSAGES]
        assert text_of(ask(model, history, thinking=THINKING)) == TEXT


def images(model):
    source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    message = ask(model, [{"role": "user", "content": content}])
    assert text_of(message) == f"I see image/png {IMAGE}", message


class Joke(BaseModel):
    setup: str
    punchline: str


def structured(model):
    message = client().messages.parse(
        model=model, max_tokens=2048, messages=MESSAGES, output_format=Joke
    )
    assert message.parsed_output == Joke(setup="something", punchline="something"), message


def counts(model):
    counted = client().messages.count_tokens(model=model, messages=MESSAGES, system="Be brief.")
    assert counted.input_tokens > 0, counted


async def several_at_once(model):
    asynchronous = anthropic.AsyncAnthropic(base_url=BASE_URL, api_key=KEY, max_retries=0)
    create = asynchronous.messages.create
    several = (create(model=model, max_tokens=9, messages=MESSAGES) for _ in range(8))
    assert all(text_of(message) == TEXT for message in await asyncio.gather(*several))


def raises(kind, *arguments, **more):
    try:
        answer = ask(*arguments, **more)
        answer = list(answer) if isinstance(answer, anthropic.Stream) else answer
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}: {answer}")


def errors():
    error = raises(anthropic.BadRequestError, "forwarded", "hello")
    assert error.type == "invalid_request_error" and "messages" in error.api_message, error
    error = raises(anthropic.NotFoundError, "nothing")
    assert error.type == "not_found_error" and "nothing" in error.api_message, error
    try:
        client("sk-wrong").messages.create(model="forwarded", max_tokens=9, messages=MESSAGES)
    except anthropic.AuthenticationError as error:
        assert error.type == "authentication_error", error
    else:
        raise AssertionError("a wrong key was taken")
    bearer = anthropic.Anthropic(base_url=BASE_URL, auth_token=KEY, max_retries=0)
    answer = bearer.messages.create(model="forwarded", max_tokens=9, messages=MESSAGES)
    assert text_of(answer) == TEXT, answer
    for path in ("forwarded", "translated"):
        error = raises(anthropic.RateLimitError, f"{path}/limited")
        assert error.type == "rate_limit_error" and "slow down" in error.api_message, error
        error = raises(anthropic.OverloadedError, f"{path}/busy")
        assert error.type == "overloaded_error", error
        error = raises(anthropic.BadRequestError, f"{path}/refusing")
        assert "temperature" in error.api_message, error
        # In the middle of a stream, where the status has been sent already.
        error = raises(anthropic.APIStatusError, f"{path}/overloaded", stream=True)
        assert error.type == "overloaded_error", error
        raises(anthropic.APIError, f"{path}/broken", stream=True)


def models(names):
    listed = {model.id: model for model in client().models.list(limit=1000)}
    assert names <= set(listed), listed
    for name in names:
        model = client().models.retrieve(name)
        assert model.id == name and model.type == "model" and model.display_name, model
        assert model.created_at.year >= 1970 and model.lifecycle == "active", model
    try:
        client().models.retrieve("nothing")
    except anthropic.NotFoundError as error:
        assert error.type == "not_found_error", error
    else:
        raise AssertionError("there is no such model")


def passes_through():
    """What this package knows nothing about, to a provider that may."""
    beta = {"anthropic-beta": "scripted-2026-01-01"}
    message = ask("forwarded", extra_headers=beta, extra_body={"scripted_field": [1.50]})
    assert text_of(message) == TEXT, message


CHECKS = [
    whole, streamed, conversation, tools, tool_choice, thinking, images, structured, counts,
]  # fmt: skip


def main():
    paths = ["forwarded", "translated", "crossed"]
    failures = []

    def attempt(name, check, *arguments):
        try:
            result = check(*arguments)
            asyncio.run(result) if asyncio.iscoroutine(result) else None
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}")

    for model in paths:
        for check in [*CHECKS, several_at_once]:
            attempt(f"{check.__name__}({model})", check, model)
    attempt("models", models, set(paths))
    attempt("errors", errors)
    attempt("passes_through", passes_through)
    assert not failures, "\n".join(failures)


main()
