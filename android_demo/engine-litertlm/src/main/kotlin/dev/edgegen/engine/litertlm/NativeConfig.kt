package dev.edgegen.engine.litertlm

import com.google.ai.edge.litertlm.Backend
import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.SamplerSettings
import com.google.ai.edge.litertlm.EngineConfig as NativeEngineConfig
import com.google.ai.edge.litertlm.SamplerConfig as NativeSamplerConfig

internal const val NAME: String = "LiteRT-LM"

// The library's word for keeping nothing on disk.
private const val NO_CACHE = ":nocache"

internal fun EngineConfig.backend(): Backend = when (delegate) {
    Delegate.CPU -> Backend.CPU(threadCount = threads)
    Delegate.GPU -> Backend.GPU()
}

internal fun EngineConfig.cachePath(): String = cacheFolder?.path ?: NO_CACHE

/** @throws EngineException if it asks for what the Kotlin API of LiteRT-LM does not have. */
internal fun EngineConfig.toNative(): NativeEngineConfig {
    refuseActivations()
    return NativeEngineConfig(
        modelPath = bundle.path,
        backend = backend(),
        maxNumTokens = maxTokens,
        cacheDir = cachePath(),
    )
}

internal fun EngineConfig.refuseActivations() {
    if (activations != null) {
        throw EngineException(
            FailureKind.UNSUPPORTED,
            "$NAME's Kotlin API chooses the precision between layers itself",
            "leave activations unset, or use --runner litert-lm",
        )
    }
}

/**
 * Returns what LiteRT-LM takes, which is all values or none: where a setting is given and another
 * is not, that other gets the default of MediaPipe's and LiteRT-LM's samplers.
 */
internal fun SamplerSettings.toNative(): NativeSamplerConfig? {
    if (this == SamplerSettings()) return null
    return NativeSamplerConfig(
        topK = topK ?: DEFAULT_TOP_K,
        topP = (topP ?: DEFAULT_TOP_P).toDouble(),
        temperature = (temperature ?: DEFAULT_TEMPERATURE).toDouble(),
        seed = seed ?: 0,
    )
}

private const val DEFAULT_TOP_K = 40
private const val DEFAULT_TOP_P = 0.95f
private const val DEFAULT_TEMPERATURE = 0.8f
