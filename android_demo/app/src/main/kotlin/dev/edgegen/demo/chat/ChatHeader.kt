package dev.edgegen.demo.chat

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.material3.HorizontalDivider
import androidx.compose.material3.Icon
import androidx.compose.material3.IconButton
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.LiveRegionMode
import androidx.compose.ui.semantics.liveRegion
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.text.style.TextOverflow
import androidx.compose.ui.unit.dp
import dev.edgegen.core.chat.ChatEvent
import dev.edgegen.core.chat.EngineState
import dev.edgegen.core.engine.Delegate
import dev.edgegen.demo.R
import dev.edgegen.demo.ui.DelegateChoice
import dev.edgegen.demo.ui.Notice
import dev.edgegen.demo.ui.delegateText

/** Which model, on what, how full, how warm; and what went wrong. */
@Composable
fun ChatHeader(
    state: ChatUiState,
    device: DeviceLineState,
    onEvent: (ChatEvent) -> Unit,
    onSettings: () -> Unit,
    modifier: Modifier = Modifier,
) {
    val chat = state.chat
    Column(
        modifier = modifier.fillMaxWidth().padding(horizontal = 16.dp),
        verticalArrangement = Arrangement.spacedBy(4.dp),
    ) {
        Row(verticalAlignment = Alignment.CenterVertically) {
            Text(
                text = state.modelName.orEmpty(),
                style = MaterialTheme.typography.titleSmall,
                maxLines = 1,
                overflow = TextOverflow.Ellipsis,
                modifier = Modifier.weight(1f),
            )
            DelegateChoice(
                selected = chat.model?.delegate ?: Delegate.CPU,
                onSelect = { delegate ->
                    chat.model?.let { onEvent(ChatEvent.ChooseModel(it.copy(delegate = delegate))) }
                },
            )
            IconButton(onClick = onSettings) {
                Icon(
                    painter = painterResource(R.drawable.ic_settings),
                    contentDescription = stringResource(R.string.chat_settings),
                )
            }
        }
        EngineLine(chat.engine)
        state.context?.let { ContextMeterLine(it) }
        DeviceLine(device)
        FallbackNotice(chat.engine)
        chat.error?.let { error ->
            Notice(
                message = error.message,
                hint = error.hint,
                isError = true,
                onDismiss = { onEvent(ChatEvent.DismissError) },
            )
        }
        HorizontalDivider()
    }
}

@Composable
private fun EngineLine(engine: EngineState) {
    val text = when (engine) {
        EngineState.Absent -> stringResource(R.string.engine_absent)
        is EngineState.Loading -> stringResource(R.string.engine_loading)
        is EngineState.Ready -> stringResource(
            R.string.engine_ready,
            engine.info.name,
            delegateText(engine.info.delegate),
            engine.info.initMs / MS_PER_S,
        )
    }
    Text(
        text = text,
        style = MaterialTheme.typography.bodySmall,
        modifier = Modifier.semantics { liveRegion = LiveRegionMode.Polite },
    )
    if (engine is EngineState.Loading) {
        LinearProgressIndicator(modifier = Modifier.fillMaxWidth())
    }
}

/** Says when another computes than was asked for: it is never hidden. */
@Composable
private fun FallbackNotice(engine: EngineState) {
    if (engine !is EngineState.Ready) return
    val why = engine.fallback ?: return
    Notice(
        message = stringResource(
            R.string.engine_fallback,
            delegateText(engine.choice.delegate),
            delegateText(engine.info.delegate),
        ),
        hint = why,
    )
}

private const val MS_PER_S = 1000.0
