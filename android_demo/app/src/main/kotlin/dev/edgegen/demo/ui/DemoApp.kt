package dev.edgegen.demo.ui

import androidx.activity.compose.BackHandler
import androidx.compose.foundation.layout.consumeWindowInsets
import androidx.compose.foundation.layout.padding
import androidx.compose.material3.ExperimentalMaterial3Api
import androidx.compose.material3.Icon
import androidx.compose.material3.NavigationBar
import androidx.compose.material3.NavigationBarItem
import androidx.compose.material3.Scaffold
import androidx.compose.material3.Text
import androidx.compose.material3.TopAppBar
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.painterResource
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.heading
import androidx.compose.ui.semantics.semantics
import androidx.lifecycle.viewmodel.compose.viewModel
import dev.edgegen.core.chat.ModelChoice
import dev.edgegen.demo.bench.BenchScreen
import dev.edgegen.demo.bench.BenchViewModel
import dev.edgegen.demo.chat.ChatScreen
import dev.edgegen.demo.chat.ChatViewModel
import dev.edgegen.demo.models.ModelsScreen
import dev.edgegen.demo.models.ModelsViewModel
import dev.edgegen.demo.viewModelFactories

/** Three screens and the bar between them. Back leads to the first one, and then out. */
@OptIn(ExperimentalMaterial3Api::class)
@Composable
fun DemoApp(
    models: ModelsViewModel = viewModel(factory = viewModelFactories),
    chat: ChatViewModel = viewModel(factory = viewModelFactories),
    bench: BenchViewModel = viewModel(factory = viewModelFactories),
) {
    var destination by rememberSaveable { mutableStateOf(Destination.MODELS) }
    BackHandler(enabled = destination != Destination.MODELS) {
        destination = Destination.MODELS
    }
    Scaffold(
        topBar = {
            TopAppBar(
                title = {
                    Text(
                        text = stringResource(destination.label),
                        modifier = Modifier.semantics { heading() },
                    )
                },
            )
        },
        bottomBar = { DestinationBar(destination, onSelect = { destination = it }) },
    ) { padding ->
        val modifier = Modifier.padding(padding).consumeWindowInsets(padding)
        when (destination) {
            Destination.MODELS -> ModelsScreen(
                viewModel = models,
                onChat = { id ->
                    chat.choose(ModelChoice(id))
                    destination = Destination.CHAT
                },
                onBench = { id ->
                    bench.choose(id)
                    destination = Destination.BENCH
                },
                modifier = modifier,
            )
            Destination.CHAT -> ChatScreen(
                viewModel = chat,
                onModels = { destination = Destination.MODELS },
                modifier = modifier,
            )
            Destination.BENCH -> BenchScreen(viewModel = bench, modifier = modifier)
        }
    }
}

@Composable
private fun DestinationBar(selected: Destination, onSelect: (Destination) -> Unit) {
    NavigationBar {
        for (each in Destination.entries) {
            NavigationBarItem(
                selected = each == selected,
                onClick = { onSelect(each) },
                // The label beside it says the same.
                icon = { Icon(painterResource(each.icon), contentDescription = null) },
                label = { Text(stringResource(each.label)) },
            )
        }
    }
}
