package dev.edgegen.demo.bench

import dev.edgegen.core.bench.BenchSummary
import dev.edgegen.core.bench.Phase
import dev.edgegen.core.bench.Record
import dev.edgegen.core.catalogue.CatalogueEntry
import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.MeasuringStep

/** Where a benchmark is. */
sealed interface BenchProgress {
    data object Idle : BenchProgress

    /** The bundle is read for its hash, by which records know it. */
    data object Hashing : BenchProgress

    /** @property step `null` where the engine has told nothing yet. */
    data class Running(
        val number: Int,
        val total: Int,
        val phase: Phase,
        val step: MeasuringStep? = null,
    ) : BenchProgress

    data class Cooling(val seconds: Double) : BenchProgress

    data class Finished(val summary: BenchSummary) : BenchProgress

    /** It could not even begin. */
    data class Failed(val reason: String) : BenchProgress
}

/**
 * What the benchmark screen shows.
 *
 * @property bundles those that engines can open.
 * @property chosen id of one of them.
 * @property preset name of the test, such as `pp512+tg128`.
 * @property records of the runs so far.
 */
data class BenchUiState(
    val bundles: List<CatalogueEntry> = emptyList(),
    val chosen: String? = null,
    val preset: String = "",
    val delegate: Delegate = Delegate.CPU,
    val repeats: Int = REPEATS.first(),
    val progress: BenchProgress = BenchProgress.Idle,
    val records: List<Record> = emptyList(),
) {
    val isRunning: Boolean
        get() = when (progress) {
            BenchProgress.Idle, is BenchProgress.Finished, is BenchProgress.Failed -> false
            BenchProgress.Hashing, is BenchProgress.Running, is BenchProgress.Cooling -> true
        }

    val canStart: Boolean get() = !isRunning && bundles.any { it.id == chosen }

    companion object {
        /** Runs that count, to choose from; fewer than three tell nothing of their spread. */
        val REPEATS: List<Int> = listOf(3, 5, 10)
    }
}
