package dev.edgegen.core.bundle

// MediaPipe's message LlmParameters: the fields that edgegen.bundle.metadata reads.
private const val STOP_TOKEN = 5L
private const val START_TOKEN = 6L
private const val MAPPINGS = 7L
private const val USER_TEMPLATE = 8L
private const val TEMPLATES = 17L
private const val BYTES_TO_UNICODE: Byte = 1
private const val SESSION_PREFIX = 1L
private const val PREFIX = 2L
private const val SUFFIX = 3L

/** Reads METADATA of a `.task`; what is not known is passed over. */
internal fun parseMetadata(data: ByteArray): GenerationParameters {
    var told = GenerationParameters()
    var older = Texts()
    val byRole = mutableMapOf<Long, Texts>()
    for (field in protoFields(data)) {
        when (field.id) {
            STOP_TOKEN -> told = told.copy(stopTokens = told.stopTokens + field.text())
            START_TOKEN -> told = told.copy(startToken = field.text())
            MAPPINGS -> {
                // A list of numbers, packed or one by one.
                val numbers = field.bytes ?: byteArrayOf(field.number.toByte())
                if (BYTES_TO_UNICODE in numbers) {
                    told = told.copy(enableBytesToUnicodeMapping = true)
                }
            }
            USER_TEMPLATE -> {
                older = texts(field.message())
                older.session?.let { told = told.copy(systemPrompt = it) }
            }
            TEMPLATES -> for (role in protoFields(field.message())) {
                if (role.id !in ROLES) continue
                byRole[role.id] = byRole[role.id].merged(texts(role.message()))
            }
        }
    }
    // Bundles from before there was a template per role have the user's only. So do roles whose
    // template says nothing.
    val said = byRole.filterValues { it.prefix != null || it.suffix != null }
    val roles = if (said.isEmpty()) mapOf(USER to older) else said
    return told.copy(
        promptPrefixUser = roles[USER]?.prefix.orEmpty(),
        promptSuffixUser = roles[USER]?.suffix.orEmpty(),
        promptPrefixModel = roles[MODEL_ROLE]?.prefix.orEmpty(),
        promptSuffixModel = roles[MODEL_ROLE]?.suffix.orEmpty(),
        promptPrefixSystem = roles[SYSTEM]?.prefix.orEmpty(),
        promptSuffixSystem = roles[SYSTEM]?.suffix.orEmpty(),
    )
}

private const val USER = 1L
private const val MODEL_ROLE = 2L
private const val SYSTEM = 3L
private val ROLES = USER..SYSTEM

private class Texts(
    val prefix: String? = null,
    val suffix: String? = null,
    val session: String? = null,
)

private fun Texts?.merged(later: Texts): Texts =
    Texts(later.prefix ?: this?.prefix, later.suffix ?: this?.suffix)

private fun texts(message: ByteArray): Texts {
    val fields = protoFields(message)
    fun last(id: Long): String? = fields.lastOrNull { it.id == id }?.text()
    return Texts(last(PREFIX), last(SUFFIX), last(SESSION_PREFIX))
}
