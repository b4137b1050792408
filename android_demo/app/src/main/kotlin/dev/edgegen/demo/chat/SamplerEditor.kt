package dev.edgegen.demo.chat

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.text.KeyboardOptions
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Slider
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.contentDescription
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.semantics.stateDescription
import androidx.compose.ui.text.input.KeyboardType
import androidx.compose.ui.unit.dp
import dev.edgegen.core.engine.SamplerSettings
import dev.edgegen.demo.R
import kotlin.math.roundToInt

/** How the next token is picked. What is left alone, the bundle chooses, and then the engine. */
@Composable
fun SamplerEditor(
    sampler: SamplerSettings,
    onSampler: (SamplerSettings) -> Unit,
    modifier: Modifier = Modifier,
) {
    Column(modifier = modifier, verticalArrangement = Arrangement.spacedBy(8.dp)) {
        Text(
            text = stringResource(R.string.settings_sampler),
            style = MaterialTheme.typography.titleSmall,
        )
        LabelledSlider(
            label = stringResource(R.string.sampler_temperature),
            value = sampler.temperature,
            shown = sampler.temperature?.let { stringResource(R.string.number, it) },
            range = 0f..MOST_TEMPERATURE,
            onValue = { onSampler(sampler.copy(temperature = it.toHundredths())) },
        )
        LabelledSlider(
            label = stringResource(R.string.sampler_top_k),
            value = sampler.topK?.toFloat(),
            shown = sampler.topK?.toString(),
            range = 1f..MOST_TOP_K,
            onValue = { onSampler(sampler.copy(topK = it.roundToInt())) },
        )
        LabelledSlider(
            label = stringResource(R.string.sampler_top_p),
            value = sampler.topP,
            shown = sampler.topP?.let { stringResource(R.string.number, it) },
            range = 0f..1f,
            onValue = { onSampler(sampler.copy(topP = it.toHundredths())) },
        )
        OutlinedTextField(
            value = sampler.seed?.toString().orEmpty(),
            onValueChange = { text ->
                if (text.isEmpty() || text.toIntOrNull() != null) {
                    onSampler(sampler.copy(seed = text.toIntOrNull()))
                }
            },
            label = { Text(stringResource(R.string.sampler_seed)) },
            keyboardOptions = KeyboardOptions(keyboardType = KeyboardType.Number),
            singleLine = true,
            modifier = Modifier.fillMaxWidth(),
        )
        TextButton(
            onClick = { onSampler(SamplerSettings()) },
            enabled = sampler != SamplerSettings(),
        ) { Text(stringResource(R.string.sampler_reset)) }
    }
}

/** @param value `null` where the bundle or the engine chooses. */
@Composable
private fun LabelledSlider(
    label: String,
    value: Float?,
    shown: String?,
    range: ClosedFloatingPointRange<Float>,
    onValue: (Float) -> Unit,
) {
    val said = shown ?: stringResource(R.string.sampler_unset)
    Column {
        Text(
            text = stringResource(R.string.labelled, label, said),
            style = MaterialTheme.typography.bodyMedium,
        )
        Slider(
            value = value ?: range.start,
            onValueChange = onValue,
            valueRange = range,
            modifier = Modifier.semantics {
                contentDescription = label
                stateDescription = said
            },
        )
    }
}

private fun Float.toHundredths(): Float = (this * HUNDRED).roundToInt() / HUNDRED

private const val MOST_TEMPERATURE = 2f
private const val MOST_TOP_K = 128f
private const val HUNDRED = 100f
