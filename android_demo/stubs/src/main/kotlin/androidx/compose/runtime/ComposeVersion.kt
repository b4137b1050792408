package androidx.compose.runtime

// The plugin reads it and refuses a runtime older than it needs.
internal object ComposeVersion {
    const val version: Int = 18000
}
