package dev.edgegen.demo.bench

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.material3.HorizontalDivider
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.pluralStringResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.LiveRegionMode
import androidx.compose.ui.semantics.liveRegion
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.dp
import dev.edgegen.core.bench.BenchSummary
import dev.edgegen.core.bench.Metrics
import dev.edgegen.core.bench.Phase
import dev.edgegen.core.bench.Record
import dev.edgegen.core.bench.Spread
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.demo.R
import dev.edgegen.demo.ui.Notice
import dev.edgegen.demo.ui.sizeText

/** Where the benchmark is, read out as it goes on. */
@Composable
fun BenchProgressLine(progress: BenchProgress, modifier: Modifier = Modifier) {
    Column(
        modifier = modifier.semantics { liveRegion = LiveRegionMode.Polite },
        verticalArrangement = Arrangement.spacedBy(4.dp),
    ) {
        when (progress) {
            BenchProgress.Idle -> Text(stringResource(R.string.bench_idle))
            BenchProgress.Hashing -> Busy(stringResource(R.string.bench_hashing))
            is BenchProgress.Running -> Busy(runningText(progress))
            is BenchProgress.Cooling ->
                Busy(stringResource(R.string.bench_cooling, progress.seconds))
            is BenchProgress.Finished -> Summary(progress.summary)
            is BenchProgress.Failed -> Notice(message = progress.reason, isError = true)
        }
    }
}

/** One run; a failed one with its reason, which is a result, too. */
@Composable
fun RunRow(record: Record, modifier: Modifier = Modifier) {
    Column(
        modifier = modifier.fillMaxWidth().semantics(mergeDescendants = true) {},
        verticalArrangement = Arrangement.spacedBy(4.dp),
    ) {
        HorizontalDivider()
        Text(
            text = stringResource(
                if (record.phase == Phase.WARMUP) R.string.run_warmup else R.string.run_kept,
                record.index + 1,
            ),
            style = MaterialTheme.typography.labelLarge,
        )
        record.metrics?.let { MetricsText(it) }
        record.memory.peakRssBytes?.let {
            Text(
                text = stringResource(R.string.run_memory, sizeText(it)),
                style = MaterialTheme.typography.bodySmall,
            )
        }
        record.failure?.let { Notice(message = it.message, hint = it.hint, isError = true) }
    }
}

@Composable
private fun MetricsText(metrics: Metrics) {
    val parts = buildList {
        metrics.initMs?.let { add(stringResource(R.string.rate_init, it)) }
        metrics.ttftMs?.let { add(stringResource(R.string.rate_ttft, it)) }
        metrics.prefillTokensPerS?.let { add(stringResource(R.string.rate_prefill, it)) }
        metrics.decodeTokensPerS?.let { add(stringResource(R.string.rate_decode, it)) }
    }
    Text(parts.joinToString(separator = " · "), style = MaterialTheme.typography.bodyMedium)
}

@Composable
private fun Summary(summary: BenchSummary) {
    SpreadLine(R.string.summary_init, summary.initMs)
    SpreadLine(R.string.summary_ttft, summary.ttftMs)
    SpreadLine(R.string.summary_prefill, summary.prefillTokensPerS)
    SpreadLine(R.string.summary_decode, summary.decodeTokensPerS)
    if (summary.failures > 0) {
        Notice(
            message = pluralStringResource(
                R.plurals.runs_failed,
                summary.failures,
                summary.failures,
            ),
            isError = true,
        )
    }
}

@Composable
private fun SpreadLine(label: Int, spread: Spread?) {
    if (spread == null) return
    Text(
        text = stringResource(label, spread.median, spread.least, spread.most, spread.n),
        style = MaterialTheme.typography.bodyMedium,
    )
}

@Composable
private fun Busy(text: String) {
    Text(text)
    LinearProgressIndicator(modifier = Modifier.fillMaxWidth())
}

@Composable
private fun runningText(progress: BenchProgress.Running): String {
    val run = stringResource(R.string.bench_running, progress.number, progress.total)
    val step = progress.step ?: return run
    return stringResource(R.string.labelled, run, stepText(step))
}

@Composable
private fun stepText(step: MeasuringStep): String = stringResource(
    when (step) {
        MeasuringStep.OPENING -> R.string.step_opening
        MeasuringStep.PREFILL -> R.string.step_prefill
        MeasuringStep.DECODE -> R.string.step_decode
    },
)
