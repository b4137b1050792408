package dev.edgegen.core.catalogue

import dev.edgegen.core.bundle.BundleException
import dev.edgegen.core.bundle.BundleInfo
import dev.edgegen.core.bundle.BundleReader
import dev.edgegen.core.paths.BundleSource
import dev.edgegen.core.paths.PathPolicy
import java.io.File

/**
 * A bundle that the app can see.
 *
 * @property id stays the same as long as the file lies where it lies.
 * @property info what it tells of itself; `null` if it is no good.
 * @property problem why it is no good, in words; `null` if it is.
 */
data class CatalogueEntry(
    val id: String,
    val name: String,
    val file: File,
    val sizeBytes: Long,
    val source: BundleSource,
    val info: BundleInfo?,
    val problem: String?,
)

/** The bundles in the folders where the app looks. */
class ModelCatalogue(private val paths: PathPolicy) {
    private data class Seen(val sizeBytes: Long, val changedMs: Long, val entry: CatalogueEntry)

    private var seen = emptyMap<String, Seen>()

    /** Looks anew, by name; blocks. What was seen and has not changed is not read again. */
    @Synchronized
    fun scan(): List<CatalogueEntry> {
        val now = LinkedHashMap<String, Seen>()
        for ((source, folder) in paths.bundleFolders()) {
            for (file in folder.listFiles().orEmpty()) {
                if (!file.isFile || PathPolicy.SUFFIXES.none { file.name.endsWith(it) }) continue
                now.getOrPut(file.absolutePath) { look(file, source) }
            }
        }
        seen = now
        return entries()
    }

    /** Returns the entry of the last scan; `null` if there is none. */
    @Synchronized
    fun find(id: String): CatalogueEntry? = seen[id]?.entry

    /**
     * Removes a bundle in the app's files, and what engines prepared for it. Tells whether it is
     * gone; what was pushed is not the app's to remove.
     */
    @Synchronized
    fun delete(id: String): Boolean {
        val entry = find(id)
        if (entry == null || entry.source == BundleSource.PUSHED) return false
        paths.cacheFolder(entry.file).deleteRecursively()
        if (!entry.file.delete()) return false
        seen = seen - id
        return true
    }

    private fun entries(): List<CatalogueEntry> =
        seen.values.map { it.entry }.sortedWith(compareBy({ it.name.lowercase() }, { it.id }))

    private fun look(file: File, source: BundleSource): Seen {
        val size = file.length()
        val changed = file.lastModified()
        val known = seen[file.absolutePath]
        if (known != null && known.sizeBytes == size && known.changedMs == changed) return known
        var info: BundleInfo? = null
        var problem: String? = null
        try {
            info = BundleReader.read(file)
        } catch (error: BundleException) {
            problem = "${error.message}\n${error.hint}"
        }
        val entry =
            CatalogueEntry(file.absolutePath, file.name, file, size, source, info, problem)
        return Seen(size, changed, entry)
    }
}
