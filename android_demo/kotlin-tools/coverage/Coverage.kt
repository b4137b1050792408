package dev.edgegen.tools

import java.io.File
import kotlin.system.exitProcess
import org.jacoco.core.analysis.Analyzer
import org.jacoco.core.analysis.CoverageBuilder
import org.jacoco.core.analysis.ICounter
import org.jacoco.core.analysis.ISourceFileCoverage
import org.jacoco.core.tools.ExecFileLoader
import org.objectweb.asm.ClassReader
import org.objectweb.asm.ClassVisitor
import org.objectweb.asm.ClassWriter
import org.objectweb.asm.Opcodes

/**
 * Prints line coverage with JaCoCo's library, for want of its command line in Debian.
 *
 *     plain CLASSES OUT
 *     report EXEC CLASSES SOURCES LEAST
 *
 * `plain` leaves out of classes what this JaCoCo cannot read: where Kotlin inlined which lines.
 * `report` prints what the run that JaCoCo's agent wrote into EXEC covered, and fails unless it is
 * more than the share LEAST of all lines.
 */
fun main(arguments: Array<String>) {
    val files = arguments.drop(1).map(::File)
    when (arguments[0]) {
        "plain" -> plain(files[0], files[1])
        "report" -> report(files[0], files[1], files[2], arguments[4].toDouble())
    }
}

private fun plain(classes: File, out: File) {
    for (file in classes.walkTopDown().filter { it.extension == "class" }) {
        val writer = ClassWriter(0)
        val visitor = object : ClassVisitor(Opcodes.ASM9, writer) {
            override fun visitSource(source: String?, debug: String?) =
                super.visitSource(source, null)
        }
        ClassReader(file.readBytes()).accept(visitor, 0)
        val target = out.resolve(file.relativeTo(classes))
        target.parentFile.mkdirs()
        target.writeBytes(writer.toByteArray())
    }
}

private fun report(exec: File, classes: File, sources: File, least: Double) {
    val data = ExecFileLoader().apply { load(exec) }.executionDataStore
    val coverage = CoverageBuilder().also { Analyzer(data, it).analyzeAll(classes) }
    if (coverage.noMatchClasses.isNotEmpty()) {
        fail("${coverage.noMatchClasses.size} classes were run in another version")
    }
    val files = coverage.sourceFiles.mapNotNull { Lines.of(it, sources) }.sortedBy { it.name }
    files.forEach(::println)
    val total = files.sumOf { it.total }
    val covered = total - files.sumOf { it.missed.size }
    val share = if (total == 0) 0.0 else covered.toDouble() / total
    println("line coverage of core: %.1f %% (%d of %d lines)".format(share * 100, covered, total))
    if (share <= least) fail("expected more than %.0f %%".format(least * 100))
}

private class Lines(val name: String, val total: Int, val missed: List<Int>) {
    override fun toString(): String {
        val where = if (missed.isEmpty()) "" else "  not run: ${missed.joinToString(" ")}"
        return "%4d of %4d  %s%s".format(total - missed.size, total, name, where)
    }

    companion object {
        /** Returns `null` for a file of the library, of which a class was made here. */
        fun of(file: ISourceFileCoverage, sources: File): Lines? {
            val source = sources.resolve(file.packageName).resolve(file.name)
            if (!source.isFile) return null
            // Lines of functions that were inlined are numbered on behind the file's own.
            val own = 1..source.readLines().size
            val lines = own.filter { file.getLine(it).status != ICounter.EMPTY }
            val missed = lines.filter { file.getLine(it).status == ICounter.NOT_COVERED }
            val name = "${file.packageName.substringAfterLast('/')}/${file.name}"
            return Lines(name, lines.size, missed)
        }
    }
}

private fun fail(why: String): Nothing {
    System.err.println("error: $why")
    exitProcess(1)
}
