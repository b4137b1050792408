package dev.edgegen.core.bundle

private const val FORMAT = "edgegen.generation"
private const val VERSION = 1.0

/** Reads the side section: `docs/reference/side-section.md`. */
internal fun parseSideSection(data: ByteArray): GenerationParameters {
    val document = StrictJson.parse(utf8(data)) as? Map<*, *> ?: damaged("it is no object")
    if (document["format"] != FORMAT) damaged("it does not say format = '$FORMAT'")
    if ((document["version"] as? JsonNumber)?.real != VERSION) damaged("it is of another version")
    val unknown = document.keys - setOf("format", "version", "parameters")
    if (unknown.isNotEmpty()) damaged("it has an unknown name")
    val given = document["parameters"] as? Map<*, *> ?: damaged("parameters is no object")
    for (name in listOf("start_token", "stop_tokens")) {
        if (name !in given) damaged("parameters says no $name")
    }
    return given.entries.fold(GenerationParameters()) { told, (name, value) ->
        told.with(name as String, value)
    }
}

private fun GenerationParameters.with(name: String, value: Any?): GenerationParameters =
    when (name) {
        "start_token" -> copy(startToken = checkedText(name, value))
        "stop_tokens" -> copy(stopTokens = checkedTexts(name, value))
        "prompt_prefix_user" -> copy(promptPrefixUser = checkedText(name, value))
        "prompt_suffix_user" -> copy(promptSuffixUser = checkedText(name, value))
        "prompt_prefix_model" -> copy(promptPrefixModel = checkedText(name, value))
        "prompt_suffix_model" -> copy(promptSuffixModel = checkedText(name, value))
        "prompt_prefix_system" -> copy(promptPrefixSystem = checkedText(name, value))
        "prompt_suffix_system" -> copy(promptSuffixSystem = checkedText(name, value))
        "enable_bytes_to_unicode_mapping" ->
            copy(enableBytesToUnicodeMapping = checkedFlag(name, value))
        "system_prompt" -> copy(systemPrompt = checkedText(name, value))
        "start_token_id" -> copy(startTokenId = checkedWhole(name, value, 0))
        "stop_token_ids" ->
            copy(stopTokenIds = checkedList(name, value).map { checkedWhole(name, it, 0) })
        "pad_token" -> copy(padToken = checkedText(name, value))
        "pad_token_id" -> copy(padTokenId = checkedWhole(name, value, 0))
        "sampler" -> copy(sampler = samplerOf(value))
        "max_tokens" -> copy(maxTokens = checkedWhole(name, value, 1))
        "max_output_tokens" -> copy(maxOutputTokens = checkedWhole(name, value, 1))
        "chat_template" -> copy(chatTemplate = checkedText(name, value))
        "template_tokens" -> copy(templateTokens = checkedTable(name, value))
        "supports_thinking" -> copy(supportsThinking = checkedFlag(name, value))
        "sources" -> copy(sources = checkedTable(name, value))
        else -> damaged("parameters has an unknown name")
    }

private fun samplerOf(value: Any?): Sampler {
    if (value !is Map<*, *>) damaged("sampler is no object")
    return value.entries.fold(Sampler()) { told, (key, part) ->
        val name = "sampler.$key"
        when (key) {
            "do_sample" -> told.copy(doSample = checkedFlag(name, part))
            "temperature" -> told.copy(temperature = checkedReal(name, part, MAX_TEMPERATURE))
            "top_k" -> told.copy(topK = checkedWhole(name, part, 1))
            "top_p" -> told.copy(topP = checkedReal(name, part, 1.0))
            "seed" -> told.copy(seed = checkedWhole(name, part, 0))
            else -> damaged("sampler has an unknown name")
        }
    }
}

/** Returns what METADATA says, with the rest from the side section: engines read METADATA alone. */
internal fun mergeIntoMetadata(
    told: GenerationParameters,
    side: GenerationParameters,
): GenerationParameters {
    val startChanged = told.startToken != side.startToken
    val stopChanged = told.stopTokens != side.stopTokens
    val changed = COMMON.filter { (_, read) -> read(told) != read(side) }.keys +
        listOfNotNull(
            "enable_bytes_to_unicode_mapping".takeIf {
                told.enableBytesToUnicodeMapping != side.enableBytesToUnicodeMapping
            },
        )
    return side.withTextsOf(told).copy(
        enableBytesToUnicodeMapping = told.enableBytesToUnicodeMapping,
        startTokenId = if (startChanged) null else side.startTokenId,
        stopTokenIds = if (stopChanged) emptyList() else side.stopTokenIds,
        systemPrompt = told.systemPrompt.ifEmpty { side.systemPrompt },
        sources = side.sources + changed.associateWith { METADATA },
    )
}

/** Start, stop and prompt texts, by their names in the side section. */
internal val COMMON: Map<String, (GenerationParameters) -> Any?> = mapOf(
    "start_token" to GenerationParameters::startToken,
    "stop_tokens" to GenerationParameters::stopTokens,
    "prompt_prefix_user" to GenerationParameters::promptPrefixUser,
    "prompt_suffix_user" to GenerationParameters::promptSuffixUser,
    "prompt_prefix_model" to GenerationParameters::promptPrefixModel,
    "prompt_suffix_model" to GenerationParameters::promptSuffixModel,
    "prompt_prefix_system" to GenerationParameters::promptPrefixSystem,
    "prompt_suffix_system" to GenerationParameters::promptSuffixSystem,
)

internal fun GenerationParameters.withTextsOf(told: GenerationParameters): GenerationParameters =
    copy(
        startToken = told.startToken,
        stopTokens = told.stopTokens,
        promptPrefixUser = told.promptPrefixUser,
        promptSuffixUser = told.promptSuffixUser,
        promptPrefixModel = told.promptPrefixModel,
        promptSuffixModel = told.promptSuffixModel,
        promptPrefixSystem = told.promptPrefixSystem,
        promptSuffixSystem = told.promptSuffixSystem,
    )
