package dev.edgegen.demo.chat

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.imePadding
import androidx.compose.foundation.layout.padding
import androidx.compose.material3.Button
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import dev.edgegen.core.chat.ChatEvent
import dev.edgegen.demo.R
import dev.edgegen.demo.settings.TaskEngine
import dev.edgegen.demo.ui.KeepScreenOn

/** The conversation with the chosen bundle. */
@Composable
fun ChatScreen(viewModel: ChatViewModel, onModels: () -> Unit, modifier: Modifier = Modifier) {
    val state by viewModel.state.collectAsStateWithLifecycle()
    val device by viewModel.deviceLine.collectAsStateWithLifecycle()
    LaunchedEffect(Unit) { viewModel.dispatch(ChatEvent.ScreenRecreated) }
    KeepScreenOn(state.chat.isBusy)

    if (state.chat.model == null) {
        NoModel(onModels, modifier)
        return
    }
    ChatContent(
        state = state,
        device = device,
        onEvent = viewModel::dispatch,
        onEngine = viewModel::chooseEngine,
        modifier = modifier,
    )
}

@Composable
private fun ChatContent(
    state: ChatUiState,
    device: DeviceLineState,
    onEvent: (ChatEvent) -> Unit,
    onEngine: (TaskEngine) -> Unit,
    modifier: Modifier = Modifier,
) {
    var settingsOpen by rememberSaveable { mutableStateOf(false) }
    Column(modifier = modifier.fillMaxSize().imePadding()) {
        ChatHeader(
            state = state,
            device = device,
            onEvent = onEvent,
            onSettings = { settingsOpen = true },
        )
        MessageList(
            messages = state.chat.messages,
            canRegenerate = state.chat.canRegenerate,
            waits = state.chat.answerDue,
            onRegenerate = { onEvent(ChatEvent.Regenerate) },
            modifier = Modifier.weight(1f),
        )
        Composer(
            draft = state.chat.draft,
            canSend = state.chat.canSend,
            canStop = state.chat.canStop,
            onEdit = { onEvent(ChatEvent.EditDraft(it)) },
            onSend = { onEvent(ChatEvent.Send) },
            onStop = { onEvent(ChatEvent.Stop) },
        )
    }
    if (settingsOpen) {
        ChatSettingsSheet(
            settings = state.chat.settings,
            taskEngine = state.taskEngine.takeIf { state.choosesEngine },
            onSettings = { onEvent(ChatEvent.ChangeSettings(it)) },
            onEngine = onEngine,
            onClear = {
                onEvent(ChatEvent.Clear)
                settingsOpen = false
            },
            onDismiss = { settingsOpen = false },
        )
    }
}

@Composable
private fun NoModel(onModels: () -> Unit, modifier: Modifier = Modifier) {
    Column(
        modifier = modifier.fillMaxSize().padding(24.dp),
        verticalArrangement = Arrangement.Center,
        horizontalAlignment = Alignment.CenterHorizontally,
    ) {
        Text(stringResource(R.string.chat_no_model), style = MaterialTheme.typography.titleMedium)
        Button(onClick = onModels, modifier = Modifier.padding(top = 16.dp)) {
            Text(stringResource(R.string.chat_choose_model))
        }
    }
}
