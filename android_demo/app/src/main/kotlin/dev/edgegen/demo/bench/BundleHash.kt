package dev.edgegen.demo.bench

import dev.edgegen.core.bench.BundleFacts
import dev.edgegen.core.catalogue.CatalogueEntry
import java.io.File
import java.security.MessageDigest
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive

private const val BLOCK = 1 shl 20

/**
 * Returns what records tell of a bundle. Reads all of it, which takes seconds.
 *
 * @throws java.io.IOException it cannot be read.
 */
internal suspend fun factsOf(entry: CatalogueEntry): BundleFacts = BundleFacts(
    name = entry.name,
    sha256 = sha256Of(entry.file),
    sizeBytes = entry.sizeBytes,
    kvCacheLen = entry.info?.kvCacheLen,
    prefillLens = entry.info?.prefillLens.orEmpty(),
)

private suspend fun sha256Of(file: File): String {
    val digest = MessageDigest.getInstance("SHA-256")
    file.inputStream().use { input ->
        val block = ByteArray(BLOCK)
        while (true) {
            currentCoroutineContext().ensureActive()
            val count = input.read(block)
            if (count < 0) break
            digest.update(block, 0, count)
        }
    }
    return digest.digest().joinToString("") { "%02x".format(it) }
}
