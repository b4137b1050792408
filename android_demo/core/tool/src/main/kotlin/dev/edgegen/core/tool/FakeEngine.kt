package dev.edgegen.core.tool

import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.Measurement
import dev.edgegen.core.engine.MeasuringEngine
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.core.engine.Workload
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.delay

/** What the fake engine shall do wrong. */
enum class Trouble {
    NONE,
    KILLED,
    THROWS,
    HANGS,
    REFUSES,
    SHORT,
    SILENT,
}

/** An engine without a model: it takes no time worth naming, and tells rates all the same. */
class FakeEngine(
    private val trouble: Trouble,
    private val log: (String) -> Unit,
) : MeasuringEngine {
    override val name: String = "fake engine"

    private val never = CompletableDeferred<Unit>()

    override suspend fun measure(
        config: EngineConfig,
        workload: Workload,
        onStep: (MeasuringStep) -> Unit,
    ): Measurement {
        onStep(MeasuringStep.OPENING)
        log("opens ${config.bundle.name} on ${config.delegate.name.lowercase()}")
        if (trouble == Trouble.REFUSES) {
            val why = "the bundle has no decode signature"
            throw EngineException(FailureKind.REFUSED, why, "build it again")
        }
        onStep(MeasuringStep.PREFILL)
        delay(STEP_MS)
        when (trouble) {
            Trouble.KILLED -> killMyself()
            Trouble.THROWS -> error("the fake engine broke")
            Trouble.HANGS -> never.await()
            else -> Unit
        }
        onStep(MeasuringStep.DECODE)
        delay(STEP_MS)
        if (trouble == Trouble.SILENT) return Measurement(log = "said nothing")
        return Measurement(
            initMs = 812.5,
            ttftMs = 40.25,
            prefillTokens = workload.prefillTokens,
            prefillTokensPerS = 1600.5,
            decodeTokens = workload.decodeTokens - (if (trouble == Trouble.SHORT) 1 else 0),
            decodeTokensPerS = 22.5,
            log = "depth ${workload.depth}",
        )
    }

    override fun cancel() {
        never.cancel()
    }

    override fun close() = Unit

    // As the system does it for want of memory: nothing is written any more.
    private fun killMyself() {
        ProcessBuilder("kill", "-9", ProcessHandle.current().pid().toString()).start().waitFor()
        Thread.sleep(Long.MAX_VALUE)
    }

    private companion object {
        const val STEP_MS = 30L
    }
}
