package dev.edgegen.demo.chat

import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.clearAndSetSemantics
import dev.edgegen.core.meter.ContextLevel
import dev.edgegen.core.meter.ContextUse
import dev.edgegen.demo.R
import dev.edgegen.demo.ui.sizeText
import dev.edgegen.demo.ui.thermalText

/** How much of the KV cache the conversation takes; in words where it is nearly full. */
@Composable
fun ContextMeterLine(use: ContextUse, modifier: Modifier = Modifier) {
    val scheme = MaterialTheme.colorScheme
    val capacity = use.capacity
    val amount = when {
        capacity == null -> stringResource(R.string.context_unknown, use.used)
        use.estimated -> stringResource(R.string.context_about, use.used, capacity)
        else -> stringResource(R.string.context_counted, use.used, capacity)
    }
    val text = when (use.level) {
        ContextLevel.ROOM -> amount
        ContextLevel.NEARLY_FULL -> stringResource(R.string.context_nearly_full, amount)
        ContextLevel.FULL -> stringResource(R.string.context_full, amount)
    }
    val color = if (use.level == ContextLevel.ROOM) scheme.onSurfaceVariant else scheme.error
    Column(modifier = modifier) {
        Text(text, style = MaterialTheme.typography.bodySmall, color = color)
        use.fraction?.let { fraction ->
            LinearProgressIndicator(
                progress = { fraction },
                // The line above says it in numbers.
                modifier = Modifier.fillMaxWidth().clearAndSetSemantics {},
                color = if (use.level == ContextLevel.ROOM) scheme.primary else scheme.error,
            )
        }
    }
}

/** Memory and temperature, as far as Android tells an app. */
@Composable
fun DeviceLine(state: DeviceLineState, modifier: Modifier = Modifier) {
    val parts = buildList {
        state.appMemoryBytes?.let { add(stringResource(R.string.device_app, sizeText(it))) }
        state.device.availableMemoryBytes?.let {
            add(stringResource(R.string.device_free, sizeText(it)))
        }
        state.device.celsius?.let { add(stringResource(R.string.device_celsius, it)) }
        state.device.thermalStatus?.let { add(thermalText(it)) }
    }
    if (parts.isEmpty()) return
    Text(
        text = parts.joinToString(separator = " · "),
        style = MaterialTheme.typography.bodySmall,
        color = MaterialTheme.colorScheme.onSurfaceVariant,
        modifier = modifier,
    )
}
