package dev.edgegen.core.bundle

private const val PIECES = 1L
private const val PIECE_TEXT = 1L
private const val MAX_TOKENIZER_BYTES = 128L * 1024 * 1024

/**
 * Finds the pieces of ids in a SentencePiece model, which is read when a first one is asked for;
 * few bundles name tokens by their ids. A Hugging Face tokenizer is not unpacked for it: its
 * tokens are shown by their numbers.
 */
internal class Pieces(private val file: FileBytes, private val tokenizer: Member) {
    private val pieces: List<ByteArray> by lazy {
        if (tokenizer.sizeBytes > MAX_TOKENIZER_BYTES) damaged("its tokenizer is too large")
        protoFields(file.bytes(tokenizer.offset, tokenizer.sizeBytes.toInt()))
            .filter { it.id == PIECES && it.bytes != null }
            .map { it.message() }
    }

    fun of(id: Int): String {
        if (tokenizer.role == HF_TOKENIZER) return "#$id"
        val piece = pieces.getOrNull(id) ?: damaged("token $id is not in its tokenizer")
        return protoFields(piece).lastOrNull { it.id == PIECE_TEXT }?.text().orEmpty()
    }
}
