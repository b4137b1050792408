package dev.edgegen.demo.ui

import dev.edgegen.demo.R

/** The app's screens, in the order of the bar at the bottom. */
enum class Destination(val label: Int, val icon: Int) {
    MODELS(R.string.models_title, R.drawable.ic_models),
    CHAT(R.string.chat_title, R.drawable.ic_chat),
    BENCH(R.string.bench_title, R.drawable.ic_bench),
}
