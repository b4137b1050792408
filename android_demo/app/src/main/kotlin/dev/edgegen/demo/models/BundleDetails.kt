package dev.edgegen.demo.models

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.text.selection.SelectionContainer
import androidx.compose.material3.HorizontalDivider
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.pluralStringResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.heading
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.text.font.FontFamily
import androidx.compose.ui.unit.dp
import dev.edgegen.core.bundle.BundleInfo
import dev.edgegen.core.bundle.GenerationParameters
import dev.edgegen.core.bundle.Sampler
import dev.edgegen.demo.R
import dev.edgegen.demo.ui.Notice
import dev.edgegen.demo.ui.sizeText

/** All that a bundle tells of itself, group by group. */
@Composable
fun BundleDetails(info: BundleInfo, modifier: Modifier = Modifier) {
    SelectionContainer(modifier = modifier) {
        Column(verticalArrangement = Arrangement.spacedBy(12.dp)) {
            HorizontalDivider()
            ModelGroup(info)
            SignatureGroup(info)
            TokenGroup(info.parameters)
            PromptGroup(info.parameters)
            MemberGroup(info)
            Group(R.string.details_provenance, info.header.toList())
            Group(R.string.details_sources, info.parameters.sources.toList())
        }
    }
}

@Composable
private fun ModelGroup(info: BundleInfo) {
    val lines = buildList {
        add(stringResource(R.string.details_path) to info.file.path)
        info.kvCacheLen?.let {
            add(
                stringResource(R.string.details_kv_cache) to
                    pluralStringResource(R.plurals.tokens, it, it),
            )
        }
        info.llmModelType?.let { add(stringResource(R.string.details_model_type) to it) }
        info.minRuntimeVersion?.let { add(stringResource(R.string.details_min_runtime) to it) }
        for ((tag, backends) in info.backends) {
            add(stringResource(R.string.details_backends, tag) to backends.joinToString())
        }
    }
    Group(R.string.details_model, lines)
}

@Composable
private fun SignatureGroup(info: BundleInfo) {
    val lines = info.signatures.map {
        it.name to stringResource(R.string.details_signature, it.inputs, it.outputs)
    }
    Group(R.string.details_signatures, lines)
    info.modelProblem?.let { Notice(message = it) }
}

@Composable
private fun TokenGroup(parameters: GenerationParameters) {
    val lines = buildList {
        val start = parameters.startToken.ifEmpty { parameters.startTokenId?.toString().orEmpty() }
        if (start.isNotEmpty()) add(stringResource(R.string.details_start_token) to start)
        val stop = parameters.stopTokens + parameters.stopTokenIds.map { it.toString() }
        if (stop.isNotEmpty()) {
            add(stringResource(R.string.details_stop_tokens) to stop.joinToString("  "))
        }
        val sampler = samplerText(parameters.sampler)
        if (sampler.isNotEmpty()) add(stringResource(R.string.details_sampler) to sampler)
    }
    Group(R.string.details_tokens, lines)
}

@Composable
private fun samplerText(sampler: Sampler): String = buildList {
    sampler.temperature?.let { add(stringResource(R.string.sampler_temperature_is, it)) }
    sampler.topK?.let { add(stringResource(R.string.sampler_top_k_is, it)) }
    sampler.topP?.let { add(stringResource(R.string.sampler_top_p_is, it)) }
}.joinToString()

@Composable
private fun PromptGroup(parameters: GenerationParameters) {
    val lines = buildList {
        addQuoted(R.string.details_system, parameters.systemPrompt)
        addQuoted(R.string.details_prefix_user, parameters.promptPrefixUser)
        addQuoted(R.string.details_suffix_user, parameters.promptSuffixUser)
        addQuoted(R.string.details_prefix_model, parameters.promptPrefixModel)
        addQuoted(R.string.details_suffix_model, parameters.promptSuffixModel)
        addQuoted(R.string.details_prefix_system, parameters.promptPrefixSystem)
        addQuoted(R.string.details_suffix_system, parameters.promptSuffixSystem)
        parameters.chatTemplate?.let { addQuoted(R.string.details_template, it) }
    }
    Group(R.string.details_prompt, lines)
}

/** A line break at an end matters here, so it is shown. */
@Composable
private fun MutableList<Pair<String, String>>.addQuoted(label: Int, text: String) {
    if (text.isNotEmpty()) add(stringResource(label) to text.replace("\n", "↵\n"))
}

@Composable
private fun MemberGroup(info: BundleInfo) {
    val lines = info.members.map { (it.role ?: it.name) to sizeText(it.sizeBytes) }
    Group(R.string.details_members, lines)
}

@Composable
private fun Group(title: Int, lines: List<Pair<String, String>>) {
    if (lines.isEmpty()) return
    Column(verticalArrangement = Arrangement.spacedBy(4.dp)) {
        Text(
            text = stringResource(title),
            style = MaterialTheme.typography.titleSmall,
            modifier = Modifier.semantics { heading() },
        )
        for ((label, value) in lines) {
            // Read out as one: a label without its value says nothing.
            Row(modifier = Modifier.semantics(mergeDescendants = true) {}) {
                Text(
                    text = label,
                    style = MaterialTheme.typography.bodySmall,
                    modifier = Modifier.weight(LABEL).padding(end = 8.dp),
                )
                Text(
                    text = value,
                    style = MaterialTheme.typography.bodySmall,
                    fontFamily = FontFamily.Monospace,
                    modifier = Modifier.weight(VALUE),
                )
            }
        }
    }
}

private const val LABEL = 2f
private const val VALUE = 3f
