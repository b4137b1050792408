package dev.edgegen.core.paths

import java.io.File
import java.io.IOException
import java.security.MessageDigest

/** How a bundle came to the device. */
enum class BundleSource {
    /** Chosen by the user, and copied into the app's files. */
    IMPORTED,

    /** Put by `edgegen bench --runner app` into the app's files. */
    BENCH,

    /** Put by `edgegen push` where adb may write and the app may read. */
    PUSHED,
}

/**
 * The folders that Android gives an app.
 *
 * @property data `Context.getDataDir()`.
 * @property files `Context.getFilesDir()`, in it.
 * @property cache `Context.getCacheDir()`, in it.
 * @property externalFiles `Context.getExternalFilesDir(null)`; `null` while it is not mounted.
 */
data class AppFolders(
    val data: File,
    val files: File,
    val cache: File,
    val externalFiles: File?,
)

/**
 * Where bundles are looked for, and where engines may keep what they prepare.
 *
 * @param pushFolders where `edgegen push` puts bundles; whether an app may read there is the
 *   maker's choice, so `externalFiles/models` is looked at first.
 */
class PathPolicy(
    private val folders: AppFolders,
    private val pushFolders: List<File> = PUSH_FOLDERS,
) {
    /** Folders to look into, in this order; not all need be there. */
    fun bundleFolders(): List<Pair<BundleSource, File>> = buildList {
        add(BundleSource.IMPORTED to folders.files.resolve(IMPORTED))
        val bench = folders.files.resolve(BENCH)
        // One folder for each content: `files/bundles/SHA/NAME`.
        for (folder in bench.listFiles().orEmpty().filter { it.isDirectory }.sorted()) {
            add(BundleSource.BENCH to folder)
        }
        folders.externalFiles?.let { add(BundleSource.PUSHED to it.resolve(IMPORTED)) }
        pushFolders.forEach { add(BundleSource.PUSHED to it) }
    }

    /**
     * Returns where to copy a bundle that the user chose. It does not exist yet.
     *
     * @param displayName what the document calls itself, which nobody checked.
     */
    fun importTarget(displayName: String): File {
        val folder = folders.files.resolve(IMPORTED)
        val name = safeName(displayName)
        val stem = name.substringBeforeLast('.')
        val suffix = name.substringAfterLast('.')
        return generateSequence(1) { it + 1 }
            .map { folder.resolve(if (it == 1) name else "$stem-$it.$suffix") }
            .first { !it.exists() }
    }

    /**
     * Returns the folder for what an engine prepares for a bundle: another one for another path,
     * size or time of change, since engines know their caches by the bundle's name alone.
     */
    fun cacheFolder(bundle: File): File {
        val said = "${bundle.absolutePath}\u0000${bundle.length()}\u0000${bundle.lastModified()}"
        val digest = MessageDigest.getInstance("SHA-256").digest(said.encodeToByteArray())
        val name = digest.take(8).joinToString("") { "%02x".format(it) }
        return folders.cache.resolve(PREPARED).resolve(name)
    }

    /**
     * Returns a bundle of a benchmark's request.
     *
     * @param path a path in the app's data folder; `null` is returned if it leaves that.
     */
    fun benchBundle(path: String): File? {
        if (path.isEmpty() || '\u0000' in path || File(path).isAbsolute) return null
        return try {
            val data = folders.data.canonicalFile
            data.resolve(path).canonicalFile.takeIf { it != data && it.startsWith(data) }
        } catch (_: IOException) {
            null
        }
    }

    companion object {
        const val IMPORTED: String = "models"
        const val BENCH: String = "bundles"
        private const val PREPARED = "prepared"
        private const val MAX_NAME = 120

        /** The default folder of `edgegen push`, and the one of MediaPipe's documentation. */
        val PUSH_FOLDERS: List<File> =
            listOf(File("/data/local/tmp/edgegen"), File("/data/local/tmp/llm"))

        /** Returns a file name of letters that no file system and no shell takes for others. */
        fun safeName(displayName: String): String {
            val last = displayName.substringAfterLast('/').substringAfterLast('\\')
            val clean = last.map { if (it.isLetterOrDigit() || it in "._-") it else '_' }
                .joinToString("")
                .trimStart('.', '-')
            val suffix = SUFFIXES.firstOrNull { clean.endsWith(it, ignoreCase = true) } ?: ".task"
            val stem = if (clean.endsWith(suffix, ignoreCase = true)) {
                clean.dropLast(suffix.length)
            } else {
                clean
            }
            return stem.take(MAX_NAME).ifEmpty { "model" } + suffix
        }

        /** How names of bundles end; engines go by it. */
        val SUFFIXES: List<String> = listOf(".task", ".litertlm")
    }
}
