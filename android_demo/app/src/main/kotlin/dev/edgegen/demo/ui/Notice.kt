package dev.edgegen.demo.ui

import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.material3.Card
import androidx.compose.material3.CardDefaults
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.LiveRegionMode
import androidx.compose.ui.semantics.liveRegion
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.dp
import dev.edgegen.demo.R

/**
 * Something that the user should know, read out when it appears.
 *
 * @param hint what to do about it; empty for nothing.
 * @param isError whether something failed.
 * @param onDismiss without it, the notice stays as long as it is true.
 */
@Composable
fun Notice(
    message: String,
    modifier: Modifier = Modifier,
    hint: String = "",
    isError: Boolean = false,
    onDismiss: (() -> Unit)? = null,
) {
    val scheme = MaterialTheme.colorScheme
    Card(
        modifier = modifier
            .fillMaxWidth()
            .semantics { liveRegion = LiveRegionMode.Polite },
        colors = CardDefaults.cardColors(
            containerColor = if (isError) scheme.errorContainer else scheme.secondaryContainer,
            contentColor = if (isError) scheme.onErrorContainer else scheme.onSecondaryContainer,
        ),
    ) {
        Row(
            modifier = Modifier.padding(start = 16.dp, end = 4.dp),
            verticalAlignment = Alignment.CenterVertically,
        ) {
            Column(modifier = Modifier.weight(1f).padding(vertical = 12.dp)) {
                Text(message, style = MaterialTheme.typography.bodyMedium)
                if (hint.isNotEmpty()) Text(hint, style = MaterialTheme.typography.bodySmall)
            }
            if (onDismiss != null) {
                TextButton(onClick = onDismiss) { Text(stringResource(R.string.dismiss)) }
            }
        }
    }
}
