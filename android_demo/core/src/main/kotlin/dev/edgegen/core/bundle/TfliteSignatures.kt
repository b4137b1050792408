package dev.edgegen.core.bundle

/** Entry points of a TFLite model, and how long its KV cache is. */
internal class ModelFacts(val signatures: List<Signature>, val kvCacheLen: Int?)

/** Reads signatures off the flatbuffer at a place of a file; weights are not touched. */
internal fun readSignatures(file: FileBytes, member: Member): ModelFacts {
    val model = FlatTable.root(file, member.offset, member.offset + member.sizeBytes)
    val definitions = model.tables(SIGNATURES, MAX_SIGNATURES)
    var kvCacheLen: Int? = null
    val signatures = definitions.map { told ->
        val name = told.text(SIGNATURE_NAME) ?: damaged("a signature has no name")
        val inputs = told.tables(SIGNATURE_INPUTS, MAX_TENSORS)
        val outputs = told.tables(SIGNATURE_OUTPUTS, MAX_TENSORS)
        if (name == "decode") kvCacheLen = kvCacheLen(model, told, inputs)
        val prefill = PREFILL.matchEntire(name)?.groupValues?.get(1)?.toIntOrNull()
        Signature(name, inputs.size, outputs.size, prefill?.takeIf { it > 0 })
    }
    return ModelFacts(signatures, kvCacheLen)
}

private fun kvCacheLen(model: FlatTable, signature: FlatTable, inputs: List<FlatTable>): Int? {
    val cache = inputs.firstOrNull { it.text(0) == FIRST_CACHE } ?: return null
    val graph = model.tableAt(SUBGRAPHS, signature.i32(SIGNATURE_GRAPH))
    // K is [B, K, S, H].
    val shape = graph.tableAt(GRAPH_TENSORS, cache.i32(1)).ints(TENSOR_SHAPE, MAX_DIMENSIONS)
    return if (shape.size == 4) shape[2] else null
}

// Numbers of fields in TFLite's schema.fbs.
private const val SUBGRAPHS = 2
private const val SIGNATURES = 7
private const val SIGNATURE_INPUTS = 0
private const val SIGNATURE_OUTPUTS = 1
private const val SIGNATURE_NAME = 2
private const val SIGNATURE_GRAPH = 4
private const val GRAPH_TENSORS = 0
private const val TENSOR_SHAPE = 0

private const val FIRST_CACHE = "kv_cache_k_0"
private val PREFILL = Regex("prefill_(\\d+)")
private const val MAX_SIGNATURES = 1024
private const val MAX_TENSORS = 8192
private const val MAX_DIMENSIONS = 16
