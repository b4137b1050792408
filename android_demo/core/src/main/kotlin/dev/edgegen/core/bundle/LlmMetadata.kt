package dev.edgegen.core.bundle

import java.math.BigDecimal
import java.math.RoundingMode

/** What the LlmMetadata section of a `.litertlm` says. */
internal class LlmMetadata(
    val parameters: GenerationParameters,
    val llmModelType: String,
    val minRuntimeVersion: String?,
)

/**
 * Reads LiteRT-LM's message `LlmMetadata`.
 *
 * @param piece tells the piece of an id, where the section names tokens so.
 */
internal fun parseLlmMetadata(data: ByteArray, piece: (Int) -> String): LlmMetadata {
    val fields = protoFields(data)
    if (fields.any { it.id == 0L }) damaged("a field has no number")
    val message = Message(fields)
    val affixes = message.message(3)
    fun affix(role: Long, part: Long): String = affixes.message(role).text(part).orEmpty()
    val parameters = GenerationParameters(
        startToken = token(message.message(1), piece),
        stopTokens = message.all(2).map { token(it, piece) },
        promptPrefixUser = affix(1, 1),
        promptSuffixUser = affix(1, 2),
        promptPrefixModel = affix(2, 1),
        promptSuffixModel = affix(2, 2),
        promptPrefixSystem = affix(3, 1),
        promptSuffixSystem = affix(3, 2),
        padToken = token(message.message(13), piece).ifEmpty { null },
        sampler = samplerOf(message.message(4)),
        maxTokens = message.int(5)?.takeIf { it != 0 },
        supportsThinking = message.number(11).let { it != null && it != 0L },
    )
    checkValues(parameters)
    // Only what the message says is checked; templates and the like are the runtime's own.
    message.text(7)
    val chosen = message.message(6).fields.lastOrNull { it.id in MODEL_TYPES && it.wire == LENGTH }
    return LlmMetadata(
        parameters,
        chosen?.let { MODEL_TYPES[it.id] } ?: GENERIC_MODEL,
        message.text(14)?.ifEmpty { null },
    )
}

/** Fields of a message, as protocol buffers merge them: the last counts, messages are joined. */
private class Message(val fields: List<ProtoField>) {
    private fun last(id: Long, wire: Int): ProtoField? =
        fields.lastOrNull { it.id == id && it.wire == wire }

    fun text(id: Long): String? =
        fields.filter { it.id == id && it.wire == LENGTH }.map { it.text() }.lastOrNull()

    fun number(id: Long): Long? = last(id, VARINT)?.number

    fun int(id: Long): Int? = number(id)?.toInt()

    fun float(id: Long): Float = last(id, FIXED32)?.float() ?: 0f

    fun message(id: Long): Message = Message(all(id).flatMap { it.fields })

    fun all(id: Long): List<Message> = fields
        .filter { it.id == id && it.wire == LENGTH }
        .map { Message(protoFields(it.message())) }
}

/** Returns a token's text: the last that is said, a text or ids, counts. */
private fun token(union: Message, piece: (Int) -> String): String {
    val said = union.fields.lastOrNull { it.id in 1L..2L && it.wire == LENGTH } ?: return ""
    if (said.id == 2L) return said.text()
    val ids = protoFields(said.message()).filter { it.id == 1L }.flatMap { idsOf(it) }
    if (ids.size > 1) damaged("LlmMetadata names a token of several ids, expected one")
    return if (ids.isEmpty()) "" else piece(ids[0])
}

private fun idsOf(field: ProtoField): List<Int> = when (field.wire) {
    VARINT -> listOf(field.number.toInt())
    LENGTH -> packedVarints(field.message())
    else -> emptyList()
}

private fun packedVarints(data: ByteArray): List<Int> {
    val found = mutableListOf<Int>()
    var value = 0L
    var shift = 0
    for (byte in data) {
        if (shift < 64) value = value or ((byte.toLong() and 0x7F) shl shift)
        if (byte < 0) {
            shift += 7
        } else {
            found += value.toInt()
            value = 0
            shift = 0
        }
    }
    if (shift != 0) damaged("a list of ids is cut off")
    return found
}

private fun samplerOf(message: Message): Sampler {
    val seed = message.int(5)
    val type = message.int(1) ?: UNSPECIFIED
    if (type == GREEDY) return Sampler(doSample = false, seed = seed)
    if (type == UNSPECIFIED) return Sampler(seed = seed)
    return Sampler(
        doSample = true,
        temperature = rounded(message.float(4)),
        topK = message.int(2)?.takeIf { it != 0 },
        topP = if (type == TOP_P) rounded(message.float(3)) else null,
        seed = seed,
    )
}

/** Seven digits are all there is in 32 bits. */
private fun rounded(value: Float): Double =
    if (value.isFinite()) {
        BigDecimal(value.toDouble()).setScale(7, RoundingMode.HALF_EVEN).toDouble()
    } else {
        damaged("LlmMetadata says what cannot be: a number that is none")
    }

private fun checkValues(parameters: GenerationParameters) {
    checkedTexts("stop_tokens", parameters.stopTokens)
    for ((name, read) in COMMON) {
        val value = read(parameters)
        if (value is String) checkedText(name, value)
    }
    parameters.padToken?.let { checkedText("pad_token", it) }
    val sampler = parameters.sampler
    fun within(name: String, value: Double?, least: Double, most: Double) {
        if (value != null && value !in least..most) damaged("$name is out of range")
    }
    within("max_tokens", parameters.maxTokens?.toDouble(), 1.0, MAX_ID.toDouble())
    within("temperature", sampler.temperature, 0.0, MAX_TEMPERATURE)
    within("top_k", sampler.topK?.toDouble(), 1.0, MAX_ID.toDouble())
    within("top_p", sampler.topP, 0.0, 1.0)
    within("seed", sampler.seed?.toDouble(), 0.0, MAX_ID.toDouble())
}

/** Returns what LlmMetadata says, with the rest from the side section. */
internal fun mergeIntoLlmMetadata(
    told: GenerationParameters,
    side: GenerationParameters,
): GenerationParameters {
    val sameSampling = samplingOf(told.sampler) == samplingOf(side.sampler)
    val changed = buildSet {
        addAll(COMMON.filter { (_, read) -> read(told) != read(side) }.keys)
        if (told.padToken != side.padToken) add("pad_token")
        // Ids of other tokens are gone, too.
        FOLLOWING.forEach { (token, ids) -> if (token in this) add(ids) }
        if (!sameSampling) add("sampler")
        if (told.maxTokens != side.maxTokens) add("max_tokens")
        if (told.supportsThinking != side.supportsThinking) add("supports_thinking")
    }
    return side.withTextsOf(told).copy(
        startTokenId = side.startTokenId.takeIf { "start_token" !in changed },
        stopTokenIds = if ("stop_tokens" in changed) emptyList() else side.stopTokenIds,
        padToken = told.padToken,
        padTokenId = side.padTokenId.takeIf { "pad_token" !in changed },
        sampler = if (sameSampling) side.sampler else told.sampler,
        maxTokens = told.maxTokens,
        supportsThinking = told.supportsThinking,
        sources = side.sources + changed.associateWith { "LlmMetadata" },
    )
}

private val FOLLOWING = mapOf(
    "start_token" to "start_token_id",
    "stop_tokens" to "stop_token_ids",
    "pad_token" to "pad_token_id",
)

private data class Sampling(
    val type: Int,
    val topK: Int,
    val topP: Float,
    val temperature: Float,
    val seed: Int?,
)

/** Returns what the runtime keeps of a sampler: what edgegen writes for it. */
private fun samplingOf(sampler: Sampler): Sampling = when {
    sampler == Sampler() -> Sampling(UNSPECIFIED, 0, 0f, 0f, null)
    sampler.doSample == false || sampler.temperature == 0.0 ->
        Sampling(GREEDY, 0, 0f, 0f, sampler.seed)
    else -> Sampling(
        TOP_P,
        sampler.topK ?: 50,
        sampler.topP?.toFloat() ?: 1f,
        sampler.temperature?.toFloat() ?: 1f,
        sampler.seed,
    )
}

private const val UNSPECIFIED = 0
private const val TOP_P = 2
private const val GREEDY = 3
internal const val GENERIC_MODEL = "generic_model"

// The fields of LlmModelType.
private val MODEL_TYPES = mapOf(
    1L to GENERIC_MODEL,
    2L to "gemma3n",
    3L to "function_gemma",
    4L to "gemma3",
    5L to "qwen3",
    7L to "qwen2p5",
    8L to "gemma4",
    9L to "fast_vlm",
    11L to "lfm2",
    12L to "minicpm5",
    13L to "minicpmv4",
)
