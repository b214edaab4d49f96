//! Where a feature has to arrive in a request on each wire.

use serde_json::{Value, json};

use super::client::{
    DIMENSIONS, FILE_NAME, MAX_TOKENS, METADATA, PENALTIES, SCHEMA_NAME, SEED, STOP, TEMPERATURE,
    TOP_K, TOP_LOGPROBS, TOP_P, USER,
};
use super::feature::Feature;
use super::need::{Need, What};
use super::saying::{
    AUDIO, CALL_ID, IMAGE, IMAGE_URL, PDF, PROPERTY, QUESTION, RESULT, SIGNATURE, SYSTEM, TOOL,
    TOOL_DESCRIPTION, arguments,
};

/// The wire a provider is asked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Chat,
    Responses,
    Messages,
    Completions,
    Gemini,
    Converse,
    Cohere,
    Embeddings,
}

impl Wire {
    /// By the path of a request.
    pub(crate) fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let has = |part: &str| path.contains(part);
        match path {
            _ if has("/converse") => Self::Converse,
            _ if has("enerateContent") => Self::Gemini,
            _ if path.ends_with("/v2/chat") => Self::Cohere,
            _ if path.ends_with("/messages") || has("awPredict") => Self::Messages,
            _ if path.ends_with("/responses") => Self::Responses,
            _ if path.ends_with("/chat/completions") || has("/invocations") => Self::Chat,
            _ if path.ends_with("/completions") => Self::Completions,
            _ => Self::Embeddings,
        }
    }

    /// What a request has to have for a feature.
    pub(crate) fn needs(self, feature: Feature) -> Vec<Need> {
        let is = |what: Value| What::Value(what);
        let need = |places, what| Need { places, what };
        let one = |places, what: Value| vec![need(places, is(what))];
        match feature {
            Feature::System => one(self.system(), json!(SYSTEM)),
            Feature::Image => one(self.media(feature), json!(IMAGE)),
            Feature::ImageUrl => one(self.media(feature), json!(IMAGE_URL)),
            Feature::Pdf => one(self.media(feature), json!(PDF)),
            Feature::Audio => one(self.media(feature), json!(AUDIO)),
            Feature::Tools
            | Feature::ParallelCalls
            | Feature::StreamedArguments
            | Feature::ToolChoice => {
                let [name, description, property] = self.tool();
                let mut needs = vec![
                    need(name, is(json!(TOOL))),
                    need(description, is(json!(TOOL_DESCRIPTION))),
                    need(property, What::Anything),
                ];
                if feature == Feature::ToolChoice {
                    // Cohere can be told that some tool is to be called, and is given this one.
                    let choice = if self == Self::Cohere { "REQUIRED" } else { TOOL };
                    needs.push(need(self.tool_choice(), is(json!(choice))));
                }
                needs
            }
            Feature::ToolResults => {
                let [call_id, name, arguments_place, result_id, result] = self.tool_result();
                let id = |places| need(places, is(json!(CALL_ID)));
                let mut needs = vec![
                    need(name, is(json!(TOOL))),
                    need(arguments_place, What::Json(arguments(0))),
                    need(result, is(json!(RESULT))),
                ];
                // Gemini matches results by name and order.
                if self != Self::Gemini {
                    needs.extend([id(call_id), id(result_id)]);
                }
                needs
            }
            Feature::StructuredOutput => vec![need(self.structure(), What::Json(json!(PROPERTY)))],
            Feature::Effort => vec![need(self.effort(), What::Anything)],
            Feature::Signature => one(self.signature(), json!(SIGNATURE)),
            Feature::MaxTokens => one(self.parameter(feature), json!(MAX_TOKENS)),
            Feature::Temperature => one(self.parameter(feature), json!(TEMPERATURE)),
            Feature::TopP => one(self.parameter(feature), json!(TOP_P)),
            Feature::TopK => one(self.parameter(feature), json!(TOP_K)),
            Feature::Stop => one(self.parameter(feature), json!(STOP)),
            Feature::Seed => one(self.parameter(feature), json!(SEED)),
            Feature::Penalties => {
                let (presence, frequency) = PENALTIES;
                vec![
                    need("presence_penalty|generationConfig.presencePenalty", is(json!(presence))),
                    need(
                        "frequency_penalty|generationConfig.frequencyPenalty",
                        is(json!(frequency)),
                    ),
                ]
            }
            Feature::Dimensions => vec![need(
                "dimensions|requests.*.outputDimensionality|parameters.outputDimensionality|\
                 output_dimension",
                is(json!(DIMENSIONS)),
            )],
            Feature::Several => one("**", json!(SYSTEM)),
            Feature::User => one("user|safety_identifier|metadata.user_id", json!(USER)),
            Feature::Metadata => one("metadata.purpose|requestMetadata.purpose", json!(METADATA)),
            Feature::OneCall => vec![need(
                "parallel_tool_calls|tool_choice.disable_parallel_tool_use|\
                 additionalModelRequestFields.tool_choice.disable_parallel_tool_use",
                What::Anything,
            )],
            Feature::StrictTool => vec![need(
                "tools.*.strict|tools.*.function.strict|strict_tools|\
                 toolConfig.tools.*.toolSpec.strict",
                What::Json(json!(true)),
            )],
            Feature::CacheMarks => {
                vec![need("**.cache_control|**.cachePoint", What::Anything)]
            }
            Feature::ToolError => match self {
                Self::Converse => one("**.toolResult.status", json!("error")),
                Self::Gemini => one("**.functionResponse.response.error", json!(RESULT)),
                _ => vec![need("**.is_error", What::Json(json!(true)))],
            },
            Feature::Logprobs => one("top_logprobs|generationConfig.logprobs", json!(TOP_LOGPROBS)),
            Feature::ImageDetail => one("**.detail|generationConfig.mediaResolution", json!("low")),
            Feature::FileName => one("**.filename|**.title|**.document.name", json!(FILE_NAME)),
            Feature::SchemaName => one("**.name|**.description", json!(SCHEMA_NAME)),
            _ => one(self.question(), json!(QUESTION)),
        }
    }

    /// Structure that is asked for in a roundabout way: a tool that must be called, or words.
    pub(crate) fn emulated_structure(self) -> &'static str {
        match self {
            Self::Chat => "tools.*.function.parameters|messages.**",
            Self::Responses => "tools.*.parameters|input.**|instructions",
            Self::Messages => "tools.*.input_schema|system|system.**",
            Self::Gemini => "tools.**|systemInstruction.**",
            Self::Converse => "toolConfig.tools.*.toolSpec.inputSchema|system.**",
            Self::Cohere => "tools.*.function.parameters|messages.**",
            Self::Completions | Self::Embeddings => "",
        }
    }

    fn question(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages | Self::Cohere => {
                "messages.*.content|messages.*.content.*.text"
            }
            Self::Responses => "input|input.*.content|input.*.content.*.text",
            Self::Gemini => "contents.*.parts.*.text",
            Self::Converse => "messages.*.content.*.text",
            Self::Completions => "prompt",
            Self::Embeddings => "**",
        }
    }

    fn system(self) -> &'static str {
        match self {
            Self::Chat | Self::Cohere => "messages.0.content|messages.0.content.*.text",
            Self::Responses => "instructions|input.0.content|input.0.content.*.text",
            Self::Messages => "system|system.*.text",
            Self::Gemini => "systemInstruction.parts.*.text",
            Self::Converse => "system.*.text",
            Self::Completions | Self::Embeddings => "",
        }
    }

    fn media(self, feature: Feature) -> &'static str {
        match (self, feature) {
            (Self::Chat | Self::Cohere, Feature::Image | Feature::ImageUrl) => {
                "messages.*.content.*.image_url.url"
            }
            (Self::Chat, Feature::Pdf) => "messages.*.content.*.file.file_data",
            (Self::Chat, Feature::Audio) => {
                "messages.*.content.*.input_audio.data|messages.*.content.*.audio_url.url"
            }
            (Self::Responses, Feature::Image | Feature::ImageUrl) => "input.*.content.*.image_url",
            (Self::Responses, Feature::Pdf) => "input.*.content.*.file_data",
            (Self::Responses, Feature::Audio) => "input.*.content.*.input_audio.data",
            (Self::Messages, Feature::ImageUrl) => "messages.*.content.*.source.url",
            (Self::Messages, _) => "messages.*.content.*.source.data",
            (Self::Gemini, Feature::ImageUrl) => "contents.*.parts.*.fileData.fileUri",
            (Self::Gemini, _) => "contents.*.parts.*.inlineData.data",
            (Self::Converse, Feature::Image) => "messages.*.content.*.image.source.bytes",
            (Self::Converse, Feature::Audio) => "messages.*.content.*.audio.source.bytes",
            (Self::Converse, Feature::Pdf) => "messages.*.content.*.document.source.bytes",
            _ => "",
        }
    }

    /// Name, description, a property of the arguments.
    fn tool(self) -> [&'static str; 3] {
        match self {
            Self::Chat | Self::Cohere => [
                "tools.*.function.name",
                "tools.*.function.description",
                "tools.*.function.parameters.properties.place_to_look_up",
            ],
            Self::Responses => [
                "tools.*.name",
                "tools.*.description",
                "tools.*.parameters.properties.place_to_look_up",
            ],
            Self::Messages => [
                "tools.*.name",
                "tools.*.description",
                "tools.*.input_schema.properties.place_to_look_up",
            ],
            Self::Gemini => [
                "tools.*.functionDeclarations.*.name",
                "tools.*.functionDeclarations.*.description",
                "tools.*.functionDeclarations.*.parametersJsonSchema.properties.place_to_look_up|\
                 tools.*.functionDeclarations.*.parameters.properties.place_to_look_up",
            ],
            Self::Converse => [
                "toolConfig.tools.*.toolSpec.name",
                "toolConfig.tools.*.toolSpec.description",
                "toolConfig.tools.*.toolSpec.inputSchema.json.properties.place_to_look_up",
            ],
            Self::Completions | Self::Embeddings => [""; 3],
        }
    }

    fn tool_choice(self) -> &'static str {
        match self {
            Self::Chat => "tool_choice.function.name",
            Self::Responses | Self::Messages => "tool_choice.name",
            Self::Gemini => "toolConfig.functionCallingConfig.allowedFunctionNames.*",
            Self::Converse => "toolConfig.toolChoice.tool.name",
            Self::Cohere => "tool_choice",
            Self::Completions | Self::Embeddings => "",
        }
    }

    /// Of the call: id, name, arguments. Of the result: id, text.
    fn tool_result(self) -> [&'static str; 5] {
        match self {
            Self::Chat | Self::Cohere => [
                "messages.*.tool_calls.*.id",
                "messages.*.tool_calls.*.function.name",
                "messages.*.tool_calls.*.function.arguments",
                "messages.*.tool_call_id",
                "messages.*.content|messages.*.content.*.text",
            ],
            Self::Responses => [
                "input.*.call_id",
                "input.*.name",
                "input.*.arguments",
                "input.*.call_id",
                "input.*.output|input.*.output.*.text",
            ],
            Self::Messages => [
                "messages.*.content.*.id",
                "messages.*.content.*.name",
                "messages.*.content.*.input",
                "messages.*.content.*.tool_use_id",
                "messages.*.content.*.content|messages.*.content.*.content.*.text",
            ],
            Self::Gemini => [
                "",
                "contents.*.parts.*.functionCall.name",
                "contents.*.parts.*.functionCall.args",
                "",
                "contents.*.parts.*.functionResponse.response.**",
            ],
            Self::Converse => [
                "messages.*.content.*.toolUse.toolUseId",
                "messages.*.content.*.toolUse.name",
                "messages.*.content.*.toolUse.input",
                "messages.*.content.*.toolResult.toolUseId",
                "messages.*.content.*.toolResult.content.*.text",
            ],
            Self::Completions | Self::Embeddings => [""; 5],
        }
    }

    fn structure(self) -> &'static str {
        match self {
            Self::Chat => "response_format.json_schema.schema.properties",
            Self::Responses => "text.format.schema.properties",
            Self::Messages => {
                "output_config.format.schema.properties|output_format.schema.properties"
            }
            Self::Gemini => {
                "generationConfig.responseJsonSchema.properties|\
                 generationConfig.responseSchema.properties"
            }
            Self::Converse => "outputConfig.textFormat.structure.jsonSchema.schema",
            Self::Cohere => "response_format.json_schema.properties",
            Self::Completions | Self::Embeddings => "",
        }
    }

    fn effort(self) -> &'static str {
        match self {
            Self::Chat => "reasoning_effort|reasoning.effort|reasoning.max_tokens|thinking.type",
            Self::Responses => "reasoning.effort",
            Self::Messages => "thinking.budget_tokens|output_config.effort",
            Self::Gemini => {
                "generationConfig.thinkingConfig.thinkingBudget|\
                 generationConfig.thinkingConfig.thinkingLevel"
            }
            Self::Converse => {
                "additionalModelRequestFields.thinking.budget_tokens|\
                 additionalModelRequestFields.output_config.effort"
            }
            Self::Cohere => "thinking.token_budget",
            Self::Completions | Self::Embeddings => "",
        }
    }

    fn signature(self) -> &'static str {
        match self {
            Self::Chat => "messages.*.reasoning_details.*.signature",
            Self::Responses => "input.*.encrypted_content",
            Self::Messages => "messages.*.content.*.signature",
            Self::Gemini => "contents.*.parts.*.thoughtSignature",
            Self::Converse => "messages.*.content.*.reasoningContent.reasoningText.signature",
            Self::Cohere | Self::Completions | Self::Embeddings => "",
        }
    }

    fn parameter(self, feature: Feature) -> &'static str {
        let [openai, gemini, converse, cohere] = match feature {
            Feature::MaxTokens => [
                "max_tokens|max_completion_tokens|max_output_tokens",
                "generationConfig.maxOutputTokens",
                "inferenceConfig.maxTokens",
                "max_tokens",
            ],
            Feature::Temperature => [
                "temperature",
                "generationConfig.temperature",
                "inferenceConfig.temperature",
                "temperature",
            ],
            Feature::TopP => ["top_p", "generationConfig.topP", "inferenceConfig.topP", "p"],
            Feature::TopK => {
                ["top_k", "generationConfig.topK", "additionalModelRequestFields.top_k", "k"]
            }
            Feature::Stop => [
                "stop|stop.*|stop_sequences.*",
                "generationConfig.stopSequences.*",
                "inferenceConfig.stopSequences.*",
                "stop_sequences.*",
            ],
            Feature::Seed => ["seed|random_seed", "generationConfig.seed", "", "seed"],
            _ => [""; 4],
        };
        match self {
            Self::Gemini => gemini,
            Self::Converse => converse,
            Self::Cohere => cohere,
            _ => openai,
        }
    }
}
