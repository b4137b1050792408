package dev.edgegen.demo.chat

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.widthIn
import androidx.compose.foundation.text.selection.SelectionContainer
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.pluralStringResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.dp
import dev.edgegen.core.chat.Message
import dev.edgegen.core.chat.MessageStatus
import dev.edgegen.core.engine.Role
import dev.edgegen.core.meter.TokenRates
import dev.edgegen.demo.R

/** One message: who said it, what, how it ended and how fast it came. */
@Composable
fun MessageBubble(message: Message, modifier: Modifier = Modifier) {
    val isUser = message.role == Role.USER
    val scheme = MaterialTheme.colorScheme
    Column(
        // TalkBack reads a message as one, with who said it first.
        modifier = modifier.fillMaxWidth().semantics(mergeDescendants = true) {},
        horizontalAlignment = if (isUser) Alignment.End else Alignment.Start,
        verticalArrangement = Arrangement.spacedBy(2.dp),
    ) {
        Text(
            text = stringResource(if (isUser) R.string.role_user else R.string.role_model),
            style = MaterialTheme.typography.labelSmall,
            color = scheme.onSurfaceVariant,
        )
        Surface(
            shape = MaterialTheme.shapes.large,
            color = if (isUser) scheme.primaryContainer else scheme.surfaceContainerHigh,
            modifier = Modifier.widthIn(max = 560.dp),
        ) {
            SelectionContainer {
                Text(
                    text = message.text.ifEmpty { stringResource(R.string.message_empty) },
                    style = MaterialTheme.typography.bodyLarge,
                    modifier = Modifier.padding(12.dp),
                )
            }
        }
        val below = listOfNotNull(statusText(message.status), message.rates?.let { ratesText(it) })
            .filter { it.isNotEmpty() }
        if (below.isNotEmpty()) {
            Text(
                text = below.joinToString(separator = " · "),
                style = MaterialTheme.typography.labelSmall,
                color = scheme.onSurfaceVariant,
            )
        }
    }
}

@Composable
private fun statusText(status: MessageStatus): String? = when (status) {
    MessageStatus.STREAMING -> stringResource(R.string.status_streaming)
    MessageStatus.COMPLETE -> null
    MessageStatus.STOPPED -> stringResource(R.string.status_stopped)
    MessageStatus.CUT_OFF -> stringResource(R.string.status_cut_off)
}

@Composable
private fun ratesText(rates: TokenRates): String = buildList {
    if (rates.tokens > 0) add(pluralStringResource(R.plurals.tokens, rates.tokens, rates.tokens))
    rates.ttftMs?.let { add(stringResource(R.string.rate_ttft, it)) }
    rates.tokensPerS?.let { add(stringResource(R.string.rate_decode, it)) }
}.joinToString(separator = " · ")
