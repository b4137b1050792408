package dev.edgegen.core.bundle

import java.io.File

enum class BundleFormat(val suffix: String) {
    TASK(".task"),
    LITERTLM(".litertlm"),
}

/** A file is no bundle that engines can run; [hint] says what to do. */
class BundleException(override val message: String, val hint: String) : Exception(message)

/**
 * A part of a bundle's file.
 *
 * @property name its name in the zip, or the section's.
 * @property offset byte of the file at which its data starts.
 * @property role what it is: a name such as [MODEL]; `null` for what is unknown.
 */
data class Member(val name: String, val offset: Long, val sizeBytes: Long, val role: String?)

/** How the next token is picked; the names are those of `generation_config.json`. */
data class Sampler(
    val doSample: Boolean? = null,
    val temperature: Double? = null,
    val topK: Int? = null,
    val topP: Double? = null,
    val seed: Int? = null,
)

/** What a bundle says about tokens, prompts and sampling: `edgegen.bundle.parameters`. */
data class GenerationParameters(
    val startToken: String = "",
    val stopTokens: List<String> = emptyList(),
    val promptPrefixUser: String = "",
    val promptSuffixUser: String = "",
    val promptPrefixModel: String = "",
    val promptSuffixModel: String = "",
    val promptPrefixSystem: String = "",
    val promptSuffixSystem: String = "",
    val enableBytesToUnicodeMapping: Boolean = false,
    val systemPrompt: String = "",
    val startTokenId: Int? = null,
    val stopTokenIds: List<Int> = emptyList(),
    val padToken: String? = null,
    val padTokenId: Int? = null,
    val sampler: Sampler = Sampler(),
    val maxTokens: Int? = null,
    val maxOutputTokens: Int? = null,
    val chatTemplate: String? = null,
    val templateTokens: Map<String, String> = emptyMap(),
    val supportsThinking: Boolean = false,
    val sources: Map<String, String> = emptyMap(),
)

/**
 * An entry point of the model.
 *
 * @property prefillTokens the T of `prefill_{T}`; `null` for other signatures.
 */
data class Signature(val name: String, val inputs: Int, val outputs: Int, val prefillTokens: Int?)

/**
 * What a bundle tells of itself, read without its weights.
 *
 * @property llmModelType how LiteRT-LM prepares a conversation; `.litertlm` only.
 * @property minRuntimeVersion the least version of LiteRT-LM; `.litertlm` only.
 * @property backends for a model's tag the backends that may run it; without an entry, all may.
 * @property header what the header of a `.litertlm` says of the file: its writer and so on.
 * @property signatures of the model that prefills and decodes.
 * @property kvCacheLen tokens that prompt and answer may have together; `null` if unknown.
 * @property modelProblem why the signatures cannot be read; `null` if they can.
 */
data class BundleInfo(
    val file: File,
    val format: BundleFormat,
    val sizeBytes: Long,
    val members: List<Member>,
    val parameters: GenerationParameters,
    val llmModelType: String? = null,
    val minRuntimeVersion: String? = null,
    val backends: Map<String, List<String>> = emptyMap(),
    val header: Map<String, String> = emptyMap(),
    val signatures: List<Signature> = emptyList(),
    val kvCacheLen: Int? = null,
    val modelProblem: String? = null,
) {
    val prefillLens: List<Int> get() = signatures.mapNotNull { it.prefillTokens }.sorted()

    fun find(role: String): Member? = members.firstOrNull { it.role == role }
}

/** The member that prefills and decodes; other names as `edgegen.contract` has them. */
const val MODEL: String = "TF_LITE_PREFILL_DECODE"
const val TOKENIZER: String = "TOKENIZER_MODEL"
const val HF_TOKENIZER: String = "HF_TOKENIZER"
const val METADATA: String = "METADATA"
const val SIDE_SECTION: String = "EDGEGEN_GENERATION"

internal val MODELS: List<String> = listOf(
    MODEL,
    "TF_LITE_EMBEDDER",
    "TF_LITE_PER_LAYER_EMBEDDER",
    "TF_LITE_VISION_ENCODER",
    "TF_LITE_VISION_ADAPTER",
)
