package dev.edgegen.demo.models

import androidx.activity.compose.rememberLauncherForActivityResult
import androidx.activity.result.contract.ActivityResultContracts
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.material3.AlertDialog
import androidx.compose.material3.Button
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import dev.edgegen.core.catalogue.CatalogueEntry
import dev.edgegen.demo.R
import dev.edgegen.demo.bundles.ImportStep
import dev.edgegen.demo.ui.Notice
import dev.edgegen.demo.ui.sizeText

/** The bundles on this phone, and how to get one here. */
@Composable
fun ModelsScreen(
    viewModel: ModelsViewModel,
    onChat: (String) -> Unit,
    onBench: (String) -> Unit,
    modifier: Modifier = Modifier,
) {
    val state by viewModel.state.collectAsStateWithLifecycle()
    val picker = rememberLauncherForActivityResult(ActivityResultContracts.OpenDocument()) { uri ->
        if (uri != null) viewModel.import(uri)
    }
    LaunchedEffect(Unit) { viewModel.refresh() }

    LazyColumn(
        modifier = modifier.fillMaxSize(),
        contentPadding = PaddingValues(16.dp),
        verticalArrangement = Arrangement.spacedBy(12.dp),
    ) {
        item(key = "actions") {
            Row(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
                Button(
                    // Bundles have no media type of their own.
                    onClick = { picker.launch(arrayOf("*/*")) },
                    enabled = state.importing == null,
                ) { Text(stringResource(R.string.models_import)) }
                TextButton(onClick = viewModel::refresh) {
                    Text(stringResource(R.string.models_refresh))
                }
            }
        }
        state.importing?.let { step ->
            item(key = "importing") { Importing(step, onCancel = viewModel::cancelImport) }
        }
        state.failed?.let { failed ->
            item(key = "failed") {
                Notice(
                    message = stringResource(R.string.import_failed, failed.name),
                    hint = failed.reason,
                    isError = true,
                    onDismiss = viewModel::dismissFailure,
                )
            }
        }
        when (val bundles = state.bundles) {
            Bundles.Looking -> item(key = "looking") {
                Text(stringResource(R.string.models_looking))
            }
            is Bundles.Found -> {
                if (bundles.entries.isEmpty()) item(key = "none") { NoBundles() }
                items(bundles.entries, key = { it.id }) { entry ->
                    BundleCard(
                        entry = entry,
                        open = entry.id == state.opened,
                        availableMemoryBytes = state.availableMemoryBytes,
                        onToggle = { viewModel.toggle(entry.id) },
                        onChat = { onChat(entry.id) },
                        onBench = { onBench(entry.id) },
                        onRemove = { viewModel.askToRemove(entry) },
                    )
                }
            }
        }
    }
    state.removing?.let { entry ->
        RemoveDialog(entry, onRemove = viewModel::remove, onKeep = viewModel::keep)
    }
}

@Composable
private fun NoBundles() {
    Column(verticalArrangement = Arrangement.spacedBy(8.dp)) {
        Text(stringResource(R.string.models_none), style = MaterialTheme.typography.titleMedium)
        Text(stringResource(R.string.models_none_hint))
    }
}

@Composable
private fun Importing(step: ImportStep.Copying, onCancel: () -> Unit) {
    Column(verticalArrangement = Arrangement.spacedBy(8.dp)) {
        val total = step.total
        Row(verticalAlignment = Alignment.CenterVertically) {
            Text(
                text = if (total == null) {
                    stringResource(R.string.import_copying, step.name, sizeText(step.copied))
                } else {
                    stringResource(
                        R.string.import_copying_of,
                        step.name,
                        sizeText(step.copied),
                        sizeText(total),
                    )
                },
                modifier = Modifier.weight(1f),
            )
            TextButton(onClick = onCancel) { Text(stringResource(R.string.cancel)) }
        }
        if (total != null && total > 0) {
            LinearProgressIndicator(
                progress = { step.copied.toFloat() / total },
                modifier = Modifier.fillMaxWidth(),
            )
        } else {
            LinearProgressIndicator(modifier = Modifier.fillMaxWidth())
        }
    }
}

@Composable
private fun RemoveDialog(entry: CatalogueEntry, onRemove: () -> Unit, onKeep: () -> Unit) {
    AlertDialog(
        onDismissRequest = onKeep,
        title = { Text(stringResource(R.string.remove_title, entry.name)) },
        text = { Text(stringResource(R.string.remove_text, sizeText(entry.sizeBytes))) },
        confirmButton = {
            TextButton(onClick = onRemove) { Text(stringResource(R.string.remove)) }
        },
        dismissButton = { TextButton(onClick = onKeep) { Text(stringResource(R.string.keep)) } },
    )
}
