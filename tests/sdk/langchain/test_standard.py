"""LangChain's standard tests of chat models, for its OpenAI and Anthropic packages.

Each package talks to each kind of provider. TORANA_URL is the gateway's address without a
path. The models are those of tests/tests/langchain_suite.rs. The standard *unit* tests are
not here: they never open a connection.
"""

import os

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

URL = os.environ["TORANA_URL"]


class Standard(ChatModelIntegrationTests):
    """What holds for both packages and every provider."""

    name: str
    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True

    @property
    def model_override_value(self):
        return f"{self.name}-other"


class OpenAI(Standard):
    chat_model_class = ChatOpenAI
    supports_json_mode = True
    # Of chat completions, not of the Responses API.
    supports_audio_inputs = True

    @property
    def chat_model_params(self):
        # The package asks for a stream's usage by itself only at OpenAI's own address.
        return {
            "model": self.name,
            "base_url": f"{URL}/v1",
            "api_key": "sk-team",
            "stream_usage": True,
        }


class TestOpenAIForwarded(OpenAI):
    name = "openai-forwarded"


class TestOpenAITranslated(OpenAI):
    name = "openai-translated"


class TestOpenAIToAnthropic(OpenAI):
    name = "anthropic-forwarded"
    # Anthropic takes no sound.
    supports_audio_inputs = False


class Responses(OpenAI):
    supports_audio_inputs = False

    @property
    def chat_model_params(self):
        return {**super().chat_model_params, "use_responses_api": True}


class TestResponsesToOpenAI(Responses):
    name = "openai-translated"


class TestResponsesToAnthropic(Responses):
    name = "anthropic-forwarded"
    supports_image_tool_message = True
    supports_pdf_tool_message = True


class Anthropic(Standard):
    chat_model_class = ChatAnthropic
    supports_anthropic_inputs = True

    @property
    def chat_model_params(self):
        return {"model": self.name, "base_url": URL, "api_key": "sk-team", "max_tokens": 512}


class TestAnthropicForwarded(Anthropic):
    name = "anthropic-forwarded"
    supports_image_tool_message = True
    supports_pdf_tool_message = True


class TestAnthropicTranslated(Anthropic):
    name = "anthropic-translated"
    supports_image_tool_message = True
    supports_pdf_tool_message = True


class TestAnthropicToOpenAI(Anthropic):
    # Tool results are text there: no image or document in them.
    name = "openai-translated"
