package dev.edgegen.demo.bundles

import android.content.Context
import android.net.Uri
import android.provider.OpenableColumns
import dev.edgegen.core.bundle.BundleException
import dev.edgegen.core.bundle.BundleReader
import dev.edgegen.core.paths.PathPolicy
import dev.edgegen.demo.R
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn

/** Where an import is. */
sealed interface ImportStep {
    /** [total] is `null` where the document does not tell its size. */
    data class Copying(val name: String, val copied: Long, val total: Long?) : ImportStep

    data class Done(val file: File) : ImportStep

    data class Failed(val name: String, val reason: String) : ImportStep
}

/**
 * Copies a document that the user chose into the app's files: engines open paths, not documents.
 *
 * Cancelling the collector removes what was copied so far.
 */
class BundleImporter(private val context: Context, private val paths: PathPolicy) {
    private class Document(val name: String, val size: Long?)

    fun import(uri: Uri): Flow<ImportStep> = flow {
        val document = describe(uri)
        val target = paths.importTarget(document.name)
        // No catalogue looks at this name, whatever interrupts the copy.
        val part = File(target.parentFile, "${target.name}$PART")
        // Left by a process that was ended in a copy; one copy runs at a time.
        target.parentFile?.listFiles { file -> file.name.endsWith(PART) }?.forEach { it.delete() }
        try {
            emit(ImportStep.Copying(document.name, 0, document.size))
            copy(uri, part, document) { copied ->
                emit(ImportStep.Copying(document.name, copied, document.size))
            }
            if (!part.renameTo(target)) throw IOException(target.path)
            emit(checked(target, document.name))
        } catch (error: IOException) {
            val reason = context.getString(R.string.import_cannot_read, error.message.orEmpty())
            emit(ImportStep.Failed(document.name, reason))
        } catch (error: SecurityException) {
            val reason = context.getString(R.string.import_cannot_read, error.message.orEmpty())
            emit(ImportStep.Failed(document.name, reason))
        } finally {
            part.delete()
        }
    }.flowOn(Dispatchers.IO)

    private fun checked(target: File, name: String): ImportStep = try {
        BundleReader.read(target)
        ImportStep.Done(target)
    } catch (error: BundleException) {
        target.delete()
        ImportStep.Failed(name, "${error.message}\n${error.hint}")
    }

    private suspend fun copy(
        uri: Uri,
        part: File,
        document: Document,
        onProgress: suspend (Long) -> Unit,
    ) {
        val folder = checkNotNull(part.parentFile)
        folder.mkdirs()
        val free = folder.usableSpace
        if (document.size != null && document.size > free) {
            throw IOException(
                context.getString(R.string.import_no_space, document.size / MIB, free / MIB),
            )
        }
        val source = context.contentResolver.openInputStream(uri) ?: throw IOException("$uri")
        source.use { input ->
            FileOutputStream(part).use { output ->
                val buffer = ByteArray(BUFFER)
                var copied = 0L
                var told = 0L
                while (true) {
                    currentCoroutineContext().ensureActive()
                    val count = input.read(buffer)
                    if (count < 0) break
                    output.write(buffer, 0, count)
                    copied += count
                    if (copied - told >= TOLD_EVERY) {
                        told = copied
                        onProgress(copied)
                    }
                }
                output.fd.sync()
                if (document.size != null && copied != document.size) {
                    throw IOException(
                        context.getString(R.string.import_cut_off, copied, document.size),
                    )
                }
            }
        }
    }

    private fun describe(uri: Uri): Document {
        val columns = arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        val cursor = try {
            context.contentResolver.query(uri, columns, null, null, null)
        } catch (_: SecurityException) {
            // Opening it will fail the same way, and say so.
            null
        }
        cursor?.use {
            if (it.moveToFirst()) {
                val name = it.getColumnIndex(OpenableColumns.DISPLAY_NAME)
                val size = it.getColumnIndex(OpenableColumns.SIZE)
                return Document(
                    name = (if (name >= 0) it.getString(name) else null) ?: nameOf(uri),
                    size = if (size >= 0 && !it.isNull(size)) it.getLong(size) else null,
                )
            }
        }
        return Document(nameOf(uri), null)
    }

    private fun nameOf(uri: Uri): String = uri.lastPathSegment ?: "model"

    private companion object {
        const val PART = ".part"
        const val BUFFER = 1 shl 20
        const val TOLD_EVERY = 8L shl 20
        const val MIB = 1L shl 20
    }
}
