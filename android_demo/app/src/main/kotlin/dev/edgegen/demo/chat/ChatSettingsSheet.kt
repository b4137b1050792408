package dev.edgegen.demo.chat

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.rememberScrollState
import androidx.compose.foundation.verticalScroll
import androidx.compose.material3.ExperimentalMaterial3Api
import androidx.compose.material3.FilterChip
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.ModalBottomSheet
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.heading
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.dp
import dev.edgegen.core.chat.ChatSettings
import dev.edgegen.demo.R
import dev.edgegen.demo.settings.TaskEngine

/**
 * System prompt, sampler and, for a `.task`, the engine. What is set counts from the next answer.
 *
 * @param taskEngine what opens the bundle; `null` if there is nothing to choose.
 */
@OptIn(ExperimentalMaterial3Api::class)
@Composable
fun ChatSettingsSheet(
    settings: ChatSettings,
    taskEngine: TaskEngine?,
    onSettings: (ChatSettings) -> Unit,
    onEngine: (TaskEngine) -> Unit,
    onClear: () -> Unit,
    onDismiss: () -> Unit,
) {
    ModalBottomSheet(onDismissRequest = onDismiss) {
        Column(
            modifier = Modifier
                .fillMaxWidth()
                .verticalScroll(rememberScrollState())
                .padding(horizontal = 24.dp, vertical = 8.dp),
            verticalArrangement = Arrangement.spacedBy(16.dp),
        ) {
            Text(
                text = stringResource(R.string.chat_settings),
                style = MaterialTheme.typography.titleLarge,
                modifier = Modifier.semantics { heading() },
            )
            OutlinedTextField(
                value = settings.systemPrompt,
                onValueChange = { onSettings(settings.copy(systemPrompt = it)) },
                label = { Text(stringResource(R.string.settings_system)) },
                supportingText = { Text(stringResource(R.string.settings_system_hint)) },
                maxLines = 8,
                modifier = Modifier.fillMaxWidth(),
            )
            SamplerEditor(
                sampler = settings.sampler,
                onSampler = { onSettings(settings.copy(sampler = it)) },
            )
            if (taskEngine != null) EngineChooser(taskEngine, onEngine)
            TextButton(onClick = onClear) { Text(stringResource(R.string.chat_clear)) }
        }
    }
}

@Composable
private fun EngineChooser(selected: TaskEngine, onEngine: (TaskEngine) -> Unit) {
    Column(verticalArrangement = Arrangement.spacedBy(4.dp)) {
        Text(
            text = stringResource(R.string.settings_engine),
            style = MaterialTheme.typography.titleSmall,
        )
        Row(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
            for (each in TaskEngine.entries) {
                FilterChip(
                    selected = each == selected,
                    onClick = { onEngine(each) },
                    label = { Text(engineText(each)) },
                )
            }
        }
        if (selected == TaskEngine.MEDIAPIPE) {
            Text(
                text = stringResource(R.string.settings_mediapipe_hint),
                style = MaterialTheme.typography.bodySmall,
            )
        }
    }
}

@Composable
private fun engineText(engine: TaskEngine): String = stringResource(
    when (engine) {
        TaskEngine.LITERT_LM -> R.string.engine_litert_lm
        TaskEngine.MEDIAPIPE -> R.string.engine_mediapipe
    },
)
