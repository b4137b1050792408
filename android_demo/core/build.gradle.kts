plugins {
    alias(libs.plugins.kotlin.jvm)
    alias(libs.plugins.kotlin.serialization)
}

kotlin {
    compilerOptions {
        allWarningsAsErrors = true
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_11
    }
}

java {
    sourceCompatibility = JavaVersion.VERSION_11
    targetCompatibility = JavaVersion.VERSION_11
}

// The headless runner of tool/ is for tests on a JVM; no app needs it.
sourceSets {
    create("tool") {
        compileClasspath += sourceSets.main.get().output
        runtimeClasspath += sourceSets.main.get().output
    }
}

configurations {
    named("toolImplementation") { extendsFrom(implementation.get(), api.get()) }
}

kotlin.sourceSets.named("tool") {
    kotlin.srcDir("tool/src/main/kotlin")
}

dependencies {
    api(libs.kotlinx.coroutines.core)
    api(libs.kotlinx.serialization.json)

    testImplementation(libs.kotlin.test.junit5)
    testImplementation(libs.junit.jupiter)
    testImplementation(sourceSets["tool"].output)
}

tasks.test {
    useJUnitPlatform()
}
