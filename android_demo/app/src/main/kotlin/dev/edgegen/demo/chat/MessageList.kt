package dev.edgegen.demo.chat

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.foundation.lazy.rememberLazyListState
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import dev.edgegen.core.chat.Message
import dev.edgegen.demo.R

/**
 * The conversation. It is laid out from its end, which so stays in sight while an answer grows.
 *
 * @param waits whether the last message still waits for its answer.
 */
@Composable
fun MessageList(
    messages: List<Message>,
    canRegenerate: Boolean,
    waits: Boolean,
    onRegenerate: () -> Unit,
    modifier: Modifier = Modifier,
) {
    val list = rememberLazyListState()
    val last = messages.lastOrNull()
    // Whoever has scrolled up sees a new message, and may scroll up again while it grows.
    LaunchedEffect(last?.id) { list.scrollToItem(0) }
    LazyColumn(
        modifier = modifier.fillMaxWidth(),
        state = list,
        contentPadding = PaddingValues(16.dp),
        reverseLayout = true,
        verticalArrangement = Arrangement.spacedBy(12.dp),
    ) {
        item(key = "end") {
            if (waits) Text(stringResource(R.string.chat_waits))
            if (canRegenerate) {
                TextButton(onClick = onRegenerate) {
                    Text(stringResource(R.string.chat_regenerate))
                }
            }
        }
        if (messages.isEmpty()) {
            item(key = "empty") {
                Text(
                    text = stringResource(R.string.chat_empty),
                    style = MaterialTheme.typography.bodyMedium,
                    color = MaterialTheme.colorScheme.onSurfaceVariant,
                )
            }
        }
        items(messages.asReversed(), key = { it.id }) { MessageBubble(it) }
    }
}
