package dev.edgegen.demo.models

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.FlowRow
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.material3.Button
import androidx.compose.material3.Card
import androidx.compose.material3.FilledTonalButton
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.heading
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.dp
import dev.edgegen.core.bundle.BundleFormat
import dev.edgegen.core.bundle.BundleInfo
import dev.edgegen.core.catalogue.CatalogueEntry
import dev.edgegen.core.paths.BundleSource
import dev.edgegen.demo.R
import dev.edgegen.demo.ui.Notice
import dev.edgegen.demo.ui.sizeText

/**
 * One bundle: what can be done with it and, once opened, all that it tells of itself.
 *
 * @param availableMemoryBytes memory that programs may still get, to warn of a bundle that is more.
 */
@Composable
fun BundleCard(
    entry: CatalogueEntry,
    open: Boolean,
    availableMemoryBytes: Long?,
    onToggle: () -> Unit,
    onChat: () -> Unit,
    onBench: () -> Unit,
    onRemove: () -> Unit,
    modifier: Modifier = Modifier,
) {
    Card(modifier = modifier.fillMaxWidth()) {
        Column(
            modifier = Modifier.padding(16.dp),
            verticalArrangement = Arrangement.spacedBy(8.dp),
        ) {
            Text(
                text = entry.name,
                style = MaterialTheme.typography.titleMedium,
                modifier = Modifier.semantics { heading() },
            )
            Text(summaryOf(entry), style = MaterialTheme.typography.bodySmall)
            entry.problem?.let { Notice(message = it, isError = true) }
            val scarce = availableMemoryBytes != null && entry.sizeBytes > availableMemoryBytes
            if (scarce && entry.info != null) {
                Notice(
                    message = stringResource(
                        R.string.bundle_scarce_memory,
                        sizeText(availableMemoryBytes),
                    ),
                )
            }
            Actions(entry, open, onToggle, onChat, onBench, onRemove)
            val info = entry.info
            if (open && info != null) BundleDetails(info)
        }
    }
}

@Composable
private fun Actions(
    entry: CatalogueEntry,
    open: Boolean,
    onToggle: () -> Unit,
    onChat: () -> Unit,
    onBench: () -> Unit,
    onRemove: () -> Unit,
) {
    FlowRow(horizontalArrangement = Arrangement.spacedBy(8.dp)) {
        if (entry.info != null) {
            Button(onClick = onChat) { Text(stringResource(R.string.bundle_chat)) }
            FilledTonalButton(onClick = onBench) { Text(stringResource(R.string.bundle_bench)) }
            TextButton(onClick = onToggle) {
                Text(stringResource(if (open) R.string.bundle_less else R.string.bundle_more))
            }
        }
        // What was pushed by adb belongs to the shell, which alone can remove it.
        if (entry.source != BundleSource.PUSHED) {
            TextButton(onClick = onRemove) { Text(stringResource(R.string.remove)) }
        }
    }
}

@Composable
private fun summaryOf(entry: CatalogueEntry): String {
    val source = stringResource(
        when (entry.source) {
            BundleSource.IMPORTED -> R.string.source_imported
            BundleSource.BENCH -> R.string.source_bench
            BundleSource.PUSHED -> R.string.source_pushed
        },
    )
    val size = sizeText(entry.sizeBytes)
    val info = entry.info ?: return stringResource(R.string.bundle_summary_bad, size, source)
    return stringResource(R.string.bundle_summary, formatText(info), size, source)
}

@Composable
private fun formatText(info: BundleInfo): String = stringResource(
    when (info.format) {
        BundleFormat.TASK -> R.string.format_task
        BundleFormat.LITERTLM -> R.string.format_litertlm
    },
)
