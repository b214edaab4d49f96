"""Talks to a gateway with the openai package: <base url> <key> <expected text> <thought>.

Run by tests/tests/openai_sdk.rs. Ends with an assertion where something is not as the package
shows it for OpenAI itself.
"""

import asyncio
import sys

import openai
from pydantic import BaseModel

BASE_URL, KEY, TEXT, THOUGHT = sys.argv[1:5]
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


class Joke(BaseModel):
    setup: str
    punchline: str


JOKE = Joke(setup="something", punchline="something")


def structured(model):
    answer = client().chat.completions.parse(
        model=model, messages=MESSAGES, response_format=Joke
    )
    assert answer.choices[0].message.parsed == JOKE, answer
    answer = client().responses.parse(model=model, input="hello", text_format=Joke)
    assert answer.output_parsed == JOKE, answer


def responses(model):
    answer = client().responses.create(model=model, input="hello", instructions="Be brief.")
    check_response(answer)
    # The gateway keeps the conversation, whoever serves it.
    create = client().responses.create
    check_response(create(model=model, input="and?", previous_response_id=answer.id))


def check_response(answer):
    assert answer.output_text == TEXT and answer.status == "completed", answer
    assert answer.object == "response" and answer.id.startswith("resp_"), answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 7), answer


def streamed_responses(model):
    with client().responses.stream(model=model, input="hello") as stream:
        events = list(stream)
        check_response(stream.get_final_response())
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == TEXT, deltas
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    assert events[0].type == "response.created", events[0]
    assert events[-1].type == "response.completed", events[-1]


def tools_of_responses(model):
    tool = {"type": "function", "strict": False, **TOOLS[0]["function"]}
    question = [{"role": "user", "content": "How is the weather in 'Zürich'?"}]
    whole = client().responses.create(model=model, input=question, tools=[tool])
    with client().responses.stream(model=model, input=question, tools=[tool]) as stream:
        kind = "response.function_call_arguments.delta"
        pieces = [event.delta for event in stream if event.type == kind]
        streamed = stream.get_final_response()
    assert "".join(pieces) == '{"city":"Zürich"}', pieces
    for answer in (whole, streamed):
        call = answer.output[-1]
        assert call.type == "function_call" and call.name == "weather", answer
        assert call.arguments == '{"city":"Zürich"}' and call.call_id, answer
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
        history = [*question, *answer.output, result]
        check_response(client().responses.create(model=model, input=history, tools=[tool]))


def reasoning(model):
    """Reasoning comes back with the next turn, whoever signed it."""
    effort = {"effort": "low", "summary": "auto"}
    answer = client().responses.create(model=model, input=MESSAGES, reasoning=effort)
    assert answer.output[0].type == "reasoning", answer
    thoughts = [*answer.output[0].summary, *(answer.output[0].content or [])]
    assert "".join(thought.text for thought in thoughts) == THOUGHT, answer
    history = [*MESSAGES, *answer.output, *MESSAGES]
    check_response(client().responses.create(model=model, input=history, reasoning=effort))


def completions(model):
    answer = client().completions.create(model=model, prompt="hello", max_tokens=99)
    assert answer.choices[0].text == TEXT and answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.completion_tokens == 7, answer
    chunks = client().completions.create(model=model, prompt="hello", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == TEXT


def main():
    models = {model.id for model in client().models.list()}
    assert {"forwarded", "translated"} <= models, models
    failures = []

    def attempt(check, *arguments):
        try:
            result = check(*arguments)
            asyncio.run(result) if asyncio.iscoroutine(result) else None
        except Exception as error:
            failures.append(f"{check.__name__}{arguments}: {type(error).__name__}: {error}")

    for model in ("forwarded", "translated"):
        for check in (chat, raw_headers, stream, tools, streamed_tools, several_at_once):
            attempt(check, model)
    for model in ("obliging", "crossed"):
        for check in (
            chat, stream, structured, responses, streamed_responses, tools_of_responses, reasoning,
        ):  # fmt: skip
            attempt(check, model)
    attempt(completions, "crossed")
    attempt(errors)
    assert not failures, "\n".join(failures)


main()
