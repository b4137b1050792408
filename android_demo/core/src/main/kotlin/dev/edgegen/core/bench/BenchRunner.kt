package dev.edgegen.core.bench

import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.MeasuringEngineFactory
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.core.engine.Workload
import java.time.Instant
import java.time.temporal.ChronoUnit
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.channelFlow

/**
 * A benchmark of the app's own screen: one cell, measured several times.
 *
 * @property repeats runs that count.
 * @property warmup runs before them that do not.
 * @property coolDownS pause between runs, in seconds.
 * @property timeoutS ends a run after that many seconds.
 */
data class BenchPlan(
    val config: EngineConfig,
    val bundle: BundleFacts,
    val workload: Workload,
    val repeats: Int = 5,
    val warmup: Int = 1,
    val coolDownS: Double = 5.0,
    val timeoutS: Double = 600.0,
    val sampleIntervalS: Double = 0.1,
)

/** What happens in a benchmark. */
sealed interface BenchUpdate {
    /** A run begins. [number] counts from 1 to [total]. */
    data class Running(val number: Int, val total: Int, val phase: Phase) : BenchUpdate

    data class Step(val step: MeasuringStep) : BenchUpdate

    /** The device is left to cool. */
    data class Cooling(val seconds: Double) : BenchUpdate

    /** A run has ended, well or not. */
    data class Row(val record: Record) : BenchUpdate

    /** All have ended, or one found the device too hot. */
    data class Finished(val records: List<Record>, val summary: BenchSummary) : BenchUpdate
}

/** Median, least and most of the runs that count. */
data class Spread(val median: Double, val least: Double, val most: Double, val n: Int) {
    companion object {
        /** Returns the spread of values; `null` if there are none. */
        fun of(values: List<Double>): Spread? {
            if (values.isEmpty()) return null
            val sorted = values.sorted()
            val middle = sorted.size / 2
            val below = if (sorted.size % 2 == 1) middle else middle - 1
            val median = (sorted[below] + sorted[middle]) / 2
            return Spread(median, sorted.first(), sorted.last(), sorted.size)
        }
    }
}

data class BenchSummary(
    val initMs: Spread?,
    val ttftMs: Spread?,
    val prefillTokensPerS: Spread?,
    val decodeTokensPerS: Spread?,
    val failures: Int,
) {
    companion object {
        fun of(records: List<Record>): BenchSummary {
            val kept = records.filter { it.phase == Phase.KEPT }
            fun spread(value: (Metrics) -> Double?): Spread? =
                Spread.of(kept.mapNotNull { it.metrics?.let(value) })
            return BenchSummary(
                initMs = spread { it.initMs },
                ttftMs = spread { it.ttftMs },
                prefillTokensPerS = spread { it.prefillTokensPerS },
                decodeTokensPerS = spread { it.decodeTokensPerS },
                failures = records.count { it.failure != null },
            )
        }
    }
}

/**
 * Measures one cell, run after run. A run that fails is a row, too; a hot device ends it.
 *
 * @param runId names the benchmark in its records.
 * @param appVersion who writes the records.
 */
class BenchRunner(
    private val engines: MeasuringEngineFactory,
    private val probe: DeviceProbe,
    private val runId: String,
    private val appVersion: String,
    private val heat: HeatLimit = HeatLimit(),
) {
    /** Runs the plan while it is collected. */
    fun run(plan: BenchPlan): Flow<BenchUpdate> = channelFlow {
        val records = mutableListOf<Record>()
        val total = plan.warmup + plan.repeats
        for (index in 0 until total) {
            if (index > 0 && plan.coolDownS > 0) {
                send(BenchUpdate.Cooling(plan.coolDownS))
                delay((plan.coolDownS * 1e3).toLong())
            }
            val phase = if (index < plan.warmup) Phase.WARMUP else Phase.KEPT
            send(BenchUpdate.Running(index + 1, total, phase))
            val record = recordOf(plan, index, phase) { trySend(BenchUpdate.Step(it)) }
            records += record
            send(BenchUpdate.Row(record))
            if (record.failure?.kind == FailureKind.TOO_HOT) break
        }
        send(BenchUpdate.Finished(records, BenchSummary.of(records)))
    }

    private suspend fun recordOf(
        plan: BenchPlan,
        index: Int,
        phase: Phase,
        onStep: (MeasuringStep) -> Unit,
    ): Record {
        val startedAt = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString()
        val before = probe.state()
        val hot = heat.refusal(before)
        val run = if (hot != null) null else measureOnce(
            engines,
            plan.config,
            plan.workload,
            plan.timeoutS,
            // The process lives on between runs, so its own mark is of all of them.
            ProcessSampler(probe, plan.sampleIntervalS, wholeProcess = false),
            onStep,
        )
        val after = probe.state()
        return Record(
            schema = RECORD_SCHEMA,
            runId = runId,
            cell = "${workloadName(plan.workload)} ${delegateName(plan)}",
            index = index,
            phase = phase,
            startedAt = startedAt,
            wallS = run?.wallS ?: 0.0,
            edgegenVersion = appVersion,
            bundle = plan.bundle,
            engine = EngineFacts(
                runner = "app",
                name = run?.engine ?: "unknown",
                gpuAdapter = run?.gpuAdapter,
            ),
            device = probe.description(),
            workload = workloadName(plan.workload),
            prefillTokens = plan.workload.prefillTokens,
            decodeTokens = plan.workload.decodeTokens,
            depth = plan.workload.depth,
            prefillPaddedTokens = null,
            delegate = plan.config.delegate,
            threads = plan.config.threads,
            activations = plan.config.activations,
            cpuMask = null,
            flags = emptyList(),
            delegations = emptyList(),
            metrics = run?.metrics,
            memory = run?.samples?.memory ?: Memory(),
            conditions = Conditions(
                thermalStatusBefore = before.thermalStatus?.word,
                thermalStatusAfter = after.thermalStatus?.word,
                maxCelsius = run?.samples?.maxCelsius,
                startCelsius = before.celsius,
                waitedS = if (index > 0) plan.coolDownS else 0.0,
                batteryPercent = before.batteryPercent,
                charging = before.charging,
                screenOn = before.screenOn,
            ),
            energy = null,
            memoryBytesPerS = null,
            memoryMethod = null,
            missing = run?.samples?.missing.orEmpty(),
            failure = hot ?: run?.failure,
            log = null,
            series = null,
        )
    }

    private fun delegateName(plan: BenchPlan): String = plan.config.delegate.name.lowercase()
}

/** Returns a test's name as `edgegen bench` has it, such as `pp512+tg128@d1024`. */
fun workloadName(workload: Workload): String {
    val parts = listOfNotNull(
        "pp${workload.prefillTokens}".takeIf { workload.prefillTokens > 0 },
        "tg${workload.decodeTokens}".takeIf { workload.decodeTokens > 0 },
    ).joinToString("+")
    return if (workload.depth > 0) "$parts@d${workload.depth}" else parts
}

/** Returns records as the lines of a `records.jsonl`. */
fun recordLines(records: List<Record>): String =
    records.joinToString("") { wire.encodeToString(it) + "\n" }

/** Presets of the benchmark screen, the tests of `edgegen bench`. */
val PRESETS: List<Pair<String, Workload>> =
    listOf(Workload(128, 32), Workload(512, 128), Workload(1024, 256))
        .map { workloadName(it) to it }
