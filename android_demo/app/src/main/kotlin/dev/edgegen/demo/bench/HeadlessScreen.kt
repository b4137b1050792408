package dev.edgegen.demo.bench

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.LiveRegionMode
import androidx.compose.ui.semantics.liveRegion
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.dp
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import dev.edgegen.demo.R
import kotlinx.coroutines.delay

/**
 * Says what is going on, and nothing that moves: drawing takes what is being measured.
 *
 * @param onDone called some time after the end, if `edgegen` has not ended the app by then.
 */
@Composable
fun HeadlessScreen(
    viewModel: HeadlessViewModel,
    onDone: () -> Unit,
    modifier: Modifier = Modifier,
) {
    val state by viewModel.state.collectAsStateWithLifecycle()
    val isOver = state is HeadlessState.Done || state is HeadlessState.NotRun
    LaunchedEffect(isOver) {
        if (isOver) {
            delay(SHOWN_MS)
            onDone()
        }
    }
    Surface(modifier = modifier.fillMaxSize()) {
        Column(
            modifier = Modifier.safeDrawingPadding().padding(24.dp),
            verticalArrangement = Arrangement.spacedBy(8.dp),
        ) {
            Text(
                text = stringResource(R.string.headless_title),
                style = MaterialTheme.typography.headlineSmall,
            )
            Text(
                text = headlessText(state),
                modifier = Modifier.semantics { liveRegion = LiveRegionMode.Polite },
            )
        }
    }
}

@Composable
private fun headlessText(state: HeadlessState): String = when (state) {
    HeadlessState.Waiting -> stringResource(R.string.headless_waiting)
    HeadlessState.Running -> stringResource(R.string.headless_running)
    is HeadlessState.Done -> state.failure?.message ?: stringResource(R.string.headless_done)
    is HeadlessState.NotRun -> stringResource(R.string.headless_not_run, state.reason)
}

private const val SHOWN_MS = 10_000L
