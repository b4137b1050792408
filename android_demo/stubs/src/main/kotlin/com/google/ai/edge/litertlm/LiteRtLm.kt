package com.google.ai.edge.litertlm

// Signatures that `litertlm-android` has from 0.16 on. Parameters that came later are left out;
// the app names the arguments that it passes, so that either compiles.

@RequiresOptIn(level = RequiresOptIn.Level.ERROR)
@Retention(AnnotationRetention.BINARY)
@Target(AnnotationTarget.CLASS, AnnotationTarget.FUNCTION)
annotation class ExperimentalApi

class LiteRtLmJniException(message: String) : Exception(message)

sealed class Backend(val name: String) {
    data class CPU(
        val threadCount: Int? = null,
        @Deprecated("Use threadCount instead") val numOfThreads: Int? = null,
    ) : Backend("CPU")

    class GPU : Backend("GPU")

    data class NPU(val nativeLibraryDir: String = "") : Backend("NPU")
}

data class EngineConfig
@JvmOverloads
constructor(
    val modelPath: String,
    val backend: Backend = Backend.CPU(),
    val visionBackend: Backend? = null,
    val audioBackend: Backend? = null,
    val maxNumTokens: Int? = null,
    val maxNumImages: Int? = null,
    val cacheDir: String? = null,
)

data class SamplerConfig(
    val topK: Int,
    val topP: Double,
    val temperature: Double,
    val seed: Int = 0,
)

// Parameters between these two are left out: the app passes neither.
class ConversationConfig(
    val systemInstruction: Contents? = null,
    val initialMessages: List<Message> = listOf(),
    val samplerConfig: SamplerConfig? = null,
)

class Contents private constructor() {
    companion object {
        fun of(text: String): Contents = TODO()
    }
}

class Message private constructor() {
    val channels: Map<String, String> get() = TODO()

    override fun toString(): String = TODO()

    companion object {
        fun user(text: String): Message = TODO()

        fun model(text: String): Message = TODO()
    }
}

interface MessageCallback {
    fun onMessage(message: Message)

    fun onDone()

    fun onError(throwable: Throwable)
}

class Conversation internal constructor() : AutoCloseable {
    val isAlive: Boolean get() = TODO()

    fun sendMessageAsync(
        text: String,
        callback: MessageCallback,
        extraContext: Map<String, Any> = emptyMap(),
    ): Unit = TODO()

    fun cancelProcess(): Unit = TODO()

    fun getTokenCount(): Int = TODO()

    override fun close(): Unit = TODO()
}

class Engine(val engineConfig: EngineConfig) : AutoCloseable {
    fun isInitialized(): Boolean = TODO()

    fun initialize(): Unit = TODO()

    fun createConversation(
        conversationConfig: ConversationConfig = ConversationConfig(),
    ): Conversation = TODO()

    override fun close(): Unit = TODO()
}

data class BenchmarkInfo(
    val initTimeInSecond: Double,
    val timeToFirstTokenInSecond: Double,
    val lastPrefillTokenCount: Int,
    val lastDecodeTokenCount: Int,
    val lastPrefillTokensPerSecond: Double,
    val lastDecodeTokensPerSecond: Double,
)

@ExperimentalApi
fun benchmark(
    modelPath: String,
    backend: Backend,
    prefillTokens: Int = 256,
    decodeTokens: Int = 256,
    cacheDir: String? = null,
): BenchmarkInfo = TODO("$modelPath$backend$prefillTokens$decodeTokens$cacheDir")
