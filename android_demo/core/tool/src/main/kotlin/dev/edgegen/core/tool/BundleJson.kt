package dev.edgegen.core.tool

import dev.edgegen.core.bundle.BundleException
import dev.edgegen.core.bundle.BundleInfo
import dev.edgegen.core.bundle.BundleReader
import dev.edgegen.core.bundle.GenerationParameters
import java.io.File
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

/** Returns what the reader makes of a file, by edgegen's names, or why it refuses it. */
internal fun bundleJson(file: File): JsonObject = try {
    infoJson(BundleReader.read(file))
} catch (error: BundleException) {
    json("refused" to error.message, "hint" to error.hint)
}

private fun infoJson(info: BundleInfo): JsonObject = json(
    "format" to info.format.name.lowercase(),
    "size_bytes" to info.sizeBytes,
    "members" to info.members.map {
        json("name" to it.name, "offset" to it.offset, "size" to it.sizeBytes, "role" to it.role)
    },
    "parameters" to parametersJson(info.parameters),
    "llm_model_type" to info.llmModelType,
    "min_runtime_version" to info.minRuntimeVersion,
    "backends" to info.backends,
    "header" to info.header,
    "signatures" to info.signatures.map {
        json("name" to it.name, "inputs" to it.inputs, "outputs" to it.outputs)
    },
    "prefill_lens" to info.prefillLens,
    "kv_cache_len" to info.kvCacheLen,
    "model_problem" to info.modelProblem,
)

private fun parametersJson(told: GenerationParameters): JsonObject = json(
    "start_token" to told.startToken,
    "stop_tokens" to told.stopTokens,
    "prompt_prefix_user" to told.promptPrefixUser,
    "prompt_suffix_user" to told.promptSuffixUser,
    "prompt_prefix_model" to told.promptPrefixModel,
    "prompt_suffix_model" to told.promptSuffixModel,
    "prompt_prefix_system" to told.promptPrefixSystem,
    "prompt_suffix_system" to told.promptSuffixSystem,
    "enable_bytes_to_unicode_mapping" to told.enableBytesToUnicodeMapping,
    "system_prompt" to told.systemPrompt,
    "start_token_id" to told.startTokenId,
    "stop_token_ids" to told.stopTokenIds,
    "pad_token" to told.padToken,
    "pad_token_id" to told.padTokenId,
    "sampler" to json(
        "do_sample" to told.sampler.doSample,
        "temperature" to told.sampler.temperature,
        "top_k" to told.sampler.topK,
        "top_p" to told.sampler.topP,
        "seed" to told.sampler.seed,
    ),
    "max_tokens" to told.maxTokens,
    "max_output_tokens" to told.maxOutputTokens,
    "chat_template" to told.chatTemplate,
    "template_tokens" to told.templateTokens,
    "supports_thinking" to told.supportsThinking,
    "sources" to told.sources,
)

private fun json(vararg parts: Pair<String, Any?>): JsonObject =
    JsonObject(parts.associate { (name, value) -> name to element(value) })

private fun element(value: Any?): JsonElement = when (value) {
    null -> JsonNull
    is JsonElement -> value
    is String -> JsonPrimitive(value)
    is Number -> JsonPrimitive(value)
    is Boolean -> JsonPrimitive(value)
    is List<*> -> JsonArray(value.map(::element))
    is Map<*, *> ->
        JsonObject(value.entries.associate { (key, part) -> key.toString() to element(part) })
    else -> error("no JSON for ${value::class}")
}
