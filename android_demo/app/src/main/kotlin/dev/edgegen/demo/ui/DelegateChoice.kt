package dev.edgegen.demo.ui

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Row
import androidx.compose.material3.FilterChip
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import dev.edgegen.core.engine.Delegate
import dev.edgegen.demo.R

/** CPU or GPU. */
@Composable
fun DelegateChoice(
    selected: Delegate,
    onSelect: (Delegate) -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
) {
    Row(modifier = modifier, horizontalArrangement = Arrangement.spacedBy(8.dp)) {
        for (each in Delegate.entries) {
            FilterChip(
                selected = each == selected,
                onClick = { if (each != selected) onSelect(each) },
                label = { Text(delegateText(each)) },
                enabled = enabled,
            )
        }
    }
}

@Composable
fun delegateText(delegate: Delegate): String = stringResource(
    when (delegate) {
        Delegate.CPU -> R.string.delegate_cpu
        Delegate.GPU -> R.string.delegate_gpu
    },
)
