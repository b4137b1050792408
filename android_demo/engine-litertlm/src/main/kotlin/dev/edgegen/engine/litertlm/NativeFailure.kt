package dev.edgegen.engine.litertlm

import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind

/** Puts what the library throws into the app's words; its own words stay in the message. */
internal fun engineException(doing: String, delegate: Delegate, cause: Throwable): EngineException {
    if (cause is EngineException) return cause
    val words = cause.message.orEmpty().ifBlank { cause.javaClass.simpleName }
    val hint = when {
        cause is UnsatisfiedLinkError ->
            "this device's processor has no LiteRT-LM library: it needs arm64-v8a or x86_64"
        delegate == Delegate.GPU -> "try the CPU: not each GPU can run each model"
        else -> "check the bundle with `edgegen inspect`"
    }
    val kind = if (isOutOfMemory(words)) FailureKind.OUT_OF_MEMORY else FailureKind.REFUSED
    return EngineException(kind, "$NAME could not $doing: $words", hint, cause)
}

// absl's status for memory that cannot be had, and the C++ exception's name.
private fun isOutOfMemory(words: String): Boolean =
    "RESOURCE_EXHAUSTED" in words || "bad_alloc" in words
