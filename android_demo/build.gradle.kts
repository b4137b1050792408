// AGP 9 compiles Kotlin itself, with the Kotlin plugin that it finds here: naming 2.4 lifts the
// older one that it carries, which could not read the metadata of LiteRT-LM 0.17 and later.
plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.jvm) apply false
    alias(libs.plugins.kotlin.compose) apply false
    alias(libs.plugins.kotlin.serialization) apply false
}
