package dev.edgegen.demo.bench

import android.content.Intent
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.material3.Button
import androidx.compose.material3.FilledTonalButton
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.platform.LocalContext
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import dev.edgegen.demo.R
import dev.edgegen.demo.ui.KeepScreenOn

/** Measures a bundle on this phone, as `edgegen bench` does. */
@Composable
fun BenchScreen(viewModel: BenchViewModel, modifier: Modifier = Modifier) {
    val state by viewModel.state.collectAsStateWithLifecycle()
    val context = LocalContext.current
    val shareTitle = stringResource(R.string.bench_share)
    LaunchedEffect(Unit) { viewModel.refresh() }
    KeepScreenOn(state.isRunning)

    LazyColumn(
        modifier = modifier.fillMaxSize(),
        contentPadding = PaddingValues(16.dp),
        verticalArrangement = Arrangement.spacedBy(12.dp),
    ) {
        item(key = "plan") {
            BenchPlanEditor(
                state = state,
                onBundle = viewModel::choose,
                onPreset = viewModel::choosePreset,
                onDelegate = viewModel::chooseDelegate,
                onRepeats = viewModel::chooseRepeats,
            )
        }
        item(key = "actions") {
            Row(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
                if (state.isRunning) {
                    FilledTonalButton(onClick = viewModel::stop) {
                        Text(stringResource(R.string.bench_stop))
                    }
                } else {
                    Button(onClick = viewModel::start, enabled = state.canStart) {
                        Text(stringResource(R.string.bench_start))
                    }
                }
                if (state.records.isNotEmpty() && !state.isRunning) {
                    TextButton(
                        onClick = {
                            val send = Intent(Intent.ACTION_SEND)
                                .setType("application/jsonl")
                                .putExtra(Intent.EXTRA_TEXT, viewModel.resultText())
                            context.startActivity(Intent.createChooser(send, shareTitle))
                        },
                    ) { Text(shareTitle) }
                }
            }
        }
        item(key = "progress") { BenchProgressLine(state.progress) }
        items(state.records, key = { it.index }) { RunRow(it) }
    }
}
