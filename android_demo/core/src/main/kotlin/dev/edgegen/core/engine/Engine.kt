package dev.edgegen.core.engine

import java.io.File
import kotlinx.coroutines.flow.Flow
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable

/** Who computes; the names on the wire are those of `edgegen bench --delegate`. */
@Serializable
enum class Delegate {
    @SerialName("cpu")
    CPU,

    @SerialName("gpu")
    GPU,
}

/** Precision between layers. */
@Serializable
enum class Activations {
    @SerialName("f32")
    F32,

    @SerialName("f16")
    F16,
}

/**
 * How to open a bundle.
 *
 * @property bundle the file.
 * @property delegate who is to compute. An engine that cannot says so; it never takes another.
 * @property threads CPU threads; `null` for the engine's choice.
 * @property activations precision between layers; `null` for the engine's choice.
 * @property maxTokens tokens of a whole conversation; `null` for what the bundle says.
 * @property cacheFolder where the engine may keep weights and programs that it prepared; `null`
 *   forbids it.
 */
data class EngineConfig(
    val bundle: File,
    val delegate: Delegate = Delegate.CPU,
    val threads: Int? = null,
    val activations: Activations? = null,
    val maxTokens: Int? = null,
    val cacheFolder: File? = null,
)

/**
 * An opened engine.
 *
 * @property name of the engine, such as `LiteRT-LM`.
 * @property version as the engine or its library tells it; `null` where it does not.
 * @property delegate who computes.
 * @property initMs from opening the bundle to an engine that is ready.
 * @property maxTokens tokens that a conversation may have; `null` where unknown.
 * @property gpuAdapter the GPU by the name of its driver, where the engine tells it.
 */
data class EngineInfo(
    val name: String,
    val version: String?,
    val delegate: Delegate,
    val initMs: Double,
    val maxTokens: Int? = null,
    val gpuAdapter: String? = null,
)

/** How the next token is picked; `null` leaves it to the bundle, and then to the engine. */
@Serializable
data class SamplerSettings(
    val temperature: Float? = null,
    val topK: Int? = null,
    val topP: Float? = null,
    val seed: Int? = null,
)

@Serializable
enum class Role {
    USER,
    MODEL,
}

/** What one side said. */
@Serializable
data class Turn(val role: Role, val text: String)

/**
 * A whole conversation, up to what the model is to answer.
 *
 * An engine that holds a conversation of which [history] is the continuation may go on with it;
 * else it starts anew with [system] and [history].
 *
 * @property system what the model is told first; empty for nothing.
 * @property history what was said before, in turns.
 * @property message what the user says now.
 */
data class Prompt(val system: String, val history: List<Turn>, val message: String)

/**
 * A part of an answer.
 *
 * @property text what it adds.
 * @property tokens how many tokens it took; more than one where the engine hands over bursts.
 */
data class Chunk(val text: String, val tokens: Int = 1)

/**
 * One engine with at most one bundle and one generation at a time.
 *
 * An adapter to a real engine is thin: what decides, times and recovers is in this module.
 */
interface Engine : AutoCloseable {
    /** What errors and records call it. */
    val name: String

    /**
     * Opens a bundle; what was open is closed first. May take seconds, and does not block.
     *
     * @throws EngineException if the engine refuses the bundle or the delegate.
     */
    suspend fun load(config: EngineConfig): EngineInfo

    /**
     * Returns the answer as it comes. The flow is cold; it ends when the answer does, or soon
     * after [cancel]. Cancelling the collector stops the engine, too.
     *
     * Collecting it throws [EngineException] if the engine fails or nothing is open.
     */
    fun generate(prompt: Prompt, sampler: SamplerSettings): Flow<Chunk>

    /** Makes the generation that runs end soon; without one, does nothing. Callable anywhere. */
    fun cancel()

    /** Counts the tokens of a text; `null` if the engine does not tell. */
    fun countTokens(text: String): Int?

    /** Frees what is open. It may be loaded again. */
    override fun close()
}

/** Makes engines, for a bundle by its name; the app has one for each engine that it ships. */
fun interface EngineFactory {
    /** @throws EngineException if no engine opens such a file. */
    fun create(bundle: File): Engine
}
