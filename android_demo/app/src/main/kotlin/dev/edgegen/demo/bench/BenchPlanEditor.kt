package dev.edgegen.demo.bench

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.ColumnScope
import androidx.compose.foundation.layout.FlowRow
import androidx.compose.material3.FilterChip
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.pluralStringResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import dev.edgegen.core.bench.PRESETS
import dev.edgegen.core.engine.Delegate
import dev.edgegen.demo.R
import dev.edgegen.demo.ui.DelegateChoice

/** What to measure, on what and how often. */
@Composable
fun BenchPlanEditor(
    state: BenchUiState,
    onBundle: (String) -> Unit,
    onPreset: (String) -> Unit,
    onDelegate: (Delegate) -> Unit,
    onRepeats: (Int) -> Unit,
    modifier: Modifier = Modifier,
) {
    val enabled = !state.isRunning
    Column(modifier = modifier, verticalArrangement = Arrangement.spacedBy(12.dp)) {
        Choice(R.string.bench_bundle) {
            if (state.bundles.isEmpty()) Text(stringResource(R.string.models_none))
            Chips(
                options = state.bundles.map { it.id to it.name },
                selected = state.chosen,
                enabled = enabled,
                onSelect = onBundle,
            )
        }
        Choice(R.string.bench_test) {
            Chips(
                options = PRESETS.map { (name, _) -> name to name },
                selected = state.preset,
                enabled = enabled,
                onSelect = onPreset,
            )
        }
        Choice(R.string.bench_delegate) {
            DelegateChoice(state.delegate, onSelect = onDelegate, enabled = enabled)
        }
        Choice(R.string.bench_repeats) {
            Chips(
                options = BenchUiState.REPEATS.map {
                    it to pluralStringResource(R.plurals.runs, it, it)
                },
                selected = state.repeats,
                enabled = enabled,
                onSelect = onRepeats,
            )
        }
    }
}

@Composable
private fun Choice(title: Int, content: @Composable ColumnScope.() -> Unit) {
    Column {
        Text(stringResource(title), style = MaterialTheme.typography.titleSmall)
        content()
    }
}

/** @param options what stands for a choice, and its label. */
@Composable
private fun <T> Chips(
    options: List<Pair<T, String>>,
    selected: T?,
    enabled: Boolean,
    onSelect: (T) -> Unit,
) {
    FlowRow(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
        for ((value, label) in options) {
            FilterChip(
                selected = value == selected,
                onClick = { onSelect(value) },
                label = { Text(label) },
                enabled = enabled,
            )
        }
    }
}
