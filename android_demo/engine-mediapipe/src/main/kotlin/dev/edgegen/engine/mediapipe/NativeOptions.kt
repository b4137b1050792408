package dev.edgegen.engine.mediapipe

import com.google.mediapipe.tasks.genai.llminference.LlmInference
import com.google.mediapipe.tasks.genai.llminference.LlmInferenceSession.LlmInferenceSessionOptions
import com.google.mediapipe.tasks.genai.llminference.PromptTemplates
import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.SamplerSettings
import java.util.concurrent.ExecutionException

internal const val NAME = "MediaPipe LLM Inference"

// The GPU's sampler is built for a number of candidates; a session that asks for more is refused.
internal const val MOST_TOP_K = 128

internal fun Delegate.toNative(): LlmInference.Backend = when (this) {
    Delegate.CPU -> LlmInference.Backend.CPU
    Delegate.GPU -> LlmInference.Backend.GPU
}

/** Empty templates: the text that is handed over has the bundle's already. */
internal fun SamplerSettings.toNative(): LlmInferenceSessionOptions {
    val options = LlmInferenceSessionOptions.builder()
        .setPromptTemplates(PromptTemplates.builder().build())
    topK?.let { options.setTopK(it.coerceAtMost(MOST_TOP_K)) }
    topP?.let(options::setTopP)
    temperature?.let(options::setTemperature)
    seed?.let(options::setRandomSeed)
    return options.build()
}

internal fun refuse(config: EngineConfig) {
    if (config.threads != null || config.activations != null) {
        throw EngineException(
            FailureKind.UNSUPPORTED,
            "$NAME chooses threads and precision itself",
            "leave them unset, or open the bundle with LiteRT-LM",
        )
    }
}

internal fun errorOf(action: () -> Unit): Throwable? = try {
    action()
    null
} catch (error: ExecutionException) {
    error.cause ?: error
} catch (error: Exception) {
    error
}

internal fun failure(doing: String, delegate: Delegate, cause: Throwable?): EngineException {
    if (cause is EngineException) return cause
    val words = cause?.message.orEmpty().ifBlank { cause?.javaClass?.simpleName.orEmpty() }
    val hint = when {
        cause is UnsatisfiedLinkError ->
            "this device's processor has no MediaPipe library: it needs arm64-v8a or x86_64"
        delegate == Delegate.GPU -> "try the CPU: not each GPU can run each model"
        else -> "open the bundle with LiteRT-LM, or check it with `edgegen inspect`"
    }
    val outOfMemory = "RESOURCE_EXHAUSTED" in words || "bad_alloc" in words
    val kind = if (outOfMemory) FailureKind.OUT_OF_MEMORY else FailureKind.REFUSED
    return EngineException(kind, "$NAME could not $doing: $words", hint, cause)
}
